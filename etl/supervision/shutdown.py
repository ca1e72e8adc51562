"""A flag by which a worker's parent process lets its pool's children know that the worker is to stop."""

import mmap

# Anonymous shared memory: children are forked from the parent that imported this, and share the page.
_page = mmap.mmap(-1, 1)


def begin() -> None:
    """Set the flag: runs hand over at their next batch or wait."""
    _page[0] = 1


def has_begun() -> bool:
    """Whether this worker is to stop."""
    return bool(_page[0])
