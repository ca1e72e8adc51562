"""Prints tables on standard output."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 160
_COLOURS = {"success": "green", "partial": "yellow", "failed": "red", "refused": "magenta", "running": "cyan"}


def make_console() -> Console:
    """Make a console for standard output; wide if it is not a terminal, so that a pipe gets whole lines."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = (), has_header: bool = True
) -> None:
    """Print a table on standard output. Cells are shown literally, with control characters made visible."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=has_header)
    for column in columns:
        table.add_column(column, justify="right" if column in set(numbers) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell), style=_COLOURS.get(str(cell), "")) for cell in row))
    make_console().print(table)


def clean(cell: object) -> str:
    """Show a cell as one line of printable text: records come from outside and may contain terminal commands."""
    text = "" if cell is None else str(cell)
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
