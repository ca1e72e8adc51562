"""How far a run has come through its source's content, by the cursor in its row. Pure."""

from dataclasses import dataclass
from typing import Any

from etl.models import Run


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`pages` counts the pages of a walk, None for other content. `share` is from 0 to 1, None if it is not known."""

    pages: int | None
    share: float | None


def find_progress(run: Run) -> RunProgress:
    """Return the progress of the run's read. A walk has a share if its source names the number of all records."""
    reached: dict[str, Any] = run.cursor_after or {}
    pages = reached.get("pages")
    done, total = ("position", "total") if pages is not None else ("offset", "size")
    if not reached.get(total):
        return RunProgress(pages, None)
    return RunProgress(pages, min(1.0, reached.get(done, 0) / reached[total]))
