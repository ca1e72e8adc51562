"""Shows the progress of runs on standard error: bars on a terminal if `rich` is installed, lines elsewhere."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

try:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
except ModuleNotFoundError:  # it is the extra `terminal`
    HAS_RICH = False
else:
    HAS_RICH = True

from etl.pipeline import Progress as RunProgress


class ProgressDisplay(AbstractContextManager["ProgressDisplay"]):
    """Bars on a terminal, otherwise lines (one per batch with `verbosity` 2), always on standard error."""

    def __init__(self, *, verbosity: int) -> None:
        self.verbosity = verbosity
        self.bars: Progress | None = None
        console = Console(file=sys.stderr, highlight=False) if HAS_RICH else None
        if console is not None and console.is_terminal and verbosity > 0:
            self.bars = Progress(
                SpinnerColumn(finished_text=" "),
                TextColumn("{task.description:<16}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(),
                console=console,
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
            bars.update(task, completed=progress.share, text=_describe(progress))

        def finish(text: str) -> None:
            bars.update(task, completed=1.0, text=text)

        return report, finish

    def _begin_lines(self, source: str) -> tuple[Callable[[RunProgress], None], Callable[[str], None]]:
        def report(progress: RunProgress) -> None:
            if self.verbosity > 1:
                share = "" if progress.share is None else f", {progress.share:.0%}"
                print(f"{source}: {_describe(progress)}{share}", file=sys.stderr)

        def finish(text: str) -> None:
            if self.verbosity > 0:
                print(f"{source}: {text}", file=sys.stderr)

        return report, finish


def _describe(progress: RunProgress) -> str:
    pages = f" on {progress.pages:,} pages" if progress.pages else ""
    return f"{progress.seen:,} records{pages}"
