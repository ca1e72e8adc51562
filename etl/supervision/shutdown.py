"""A flag that a worker's parent process sets and its pool's children read: the worker is to stop."""

import mmap

# Anonymous shared memory: children are forked from the parent that imported this, and share the page.
_page = mmap.mmap(-1, 1)


def begin() -> None:
    """The worker is to stop: runs hand over at their next batch or wait."""
    _page[0] = 1


def has_begun() -> bool:
    """Whether this worker is to stop."""
    return bool(_page[0])
