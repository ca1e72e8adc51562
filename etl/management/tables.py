"""Prints tables on standard output: with colours and folded cells if `rich` is installed, otherwise plain."""

import sys
from collections.abc import Iterable, Sequence

try:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError:  # it is the extra `terminal`
    HAS_RICH = False
else:
    HAS_RICH = True

PLAIN_WIDTH = 160
_COLOURS = {"success": "green", "partial": "yellow", "failed": "red", "refused": "magenta", "running": "cyan"}


def make_console() -> "Console":
    """Make a console for standard output; wide if it is not a terminal, so that a pipe gets whole lines."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = (), has_header: bool = True
) -> None:
    """Print a table on standard output. Cells are shown literally, with control characters made visible."""
    if not HAS_RICH:
        _print_plain([[*columns], *([clean(cell) for cell in row] for row in rows)][not has_header :], columns, numbers)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=has_header)
    for column in columns:
        table.add_column(column, justify="right" if column in set(numbers) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell), style=_COLOURS.get(str(cell), "")) for cell in row))
    make_console().print(table)


def _print_plain(lines: Sequence[Sequence[str]], columns: Sequence[str], numbers: Iterable[str]) -> None:
    right = set(numbers)
    widths = [max((len(line[place]) for line in lines), default=0) for place in range(len(columns))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        print("  ".join(cells).rstrip())


def clean(cell: object) -> str:
    """Show a cell as one line of printable text: records come from outside and may contain terminal commands."""
    text = "" if cell is None else str(cell)
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
