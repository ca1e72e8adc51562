"""Shows the output of commands: progress on standard error, tables on standard output."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from etl.pipeline import Progress as RunProgress

PLAIN_WIDTH = 160
_COLOURS = {"success": "green", "partial": "yellow", "failed": "red", "refused": "magenta", "running": "cyan"}


def make_console() -> Console:
    """Make a console for standard output; wide if it is not a terminal, so that a pipe gets whole lines."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = ()) -> None:
    """Print a table on standard output. Cells are shown literally, with control characters made visible."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in set(numbers) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell), style=_COLOURS.get(str(cell), "")) for cell in row))
    make_console().print(table)


def clean(cell: object) -> str:
    """Show a cell as one line of printable text: records come from outside and may contain terminal commands."""
    text = "" if cell is None else str(cell)
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


class ProgressDisplay(AbstractContextManager["ProgressDisplay"]):
    """Bars on a terminal, otherwise lines (one per batch with `verbosity` 2), always on standard error."""

    def __init__(self, *, verbosity: int) -> None:
        self.console = Console(file=sys.stderr, highlight=False)
        self.verbosity = verbosity
        self.bars: Progress | None = None
        if self.console.is_terminal and verbosity > 0:
            self.bars = Progress(
                SpinnerColumn(finished_text=" "),
                TextColumn("{task.description:<16}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(),
                console=self.console,
            )

    def __enter__(self) -> Self:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()

    def begin(self, source: str) -> tuple[Callable[[RunProgress], None], Callable[[str], None]]:
        """Show a source. Returns one function that reports its progress and one that shows how it ended."""
        if self.bars is None:
            return self._begin_lines(source)
        bars = self.bars
        task = bars.add_task(source, total=1.0, text="reading")

        def report(progress: RunProgress) -> None:
            bars.update(task, completed=progress.share, text=f"{progress.seen:,} records")

        def finish(text: str) -> None:
            bars.update(task, completed=1.0, text=text)

        return report, finish

    def _begin_lines(self, source: str) -> tuple[Callable[[RunProgress], None], Callable[[str], None]]:
        def report(progress: RunProgress) -> None:
            if self.verbosity > 1:
                print(f"{source}: {progress.seen:,} records, {progress.share:.0%}", file=sys.stderr)

        def finish(text: str) -> None:
            if self.verbosity > 0:
                print(f"{source}: {text}", file=sys.stderr)

        return report, finish
