"""Python's collector of cycles, which would look through each batch again and again while its records are alive."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RELAXED_THRESHOLD = 100_000
"""New objects between two looks; at Python's own 700 each batch is looked through hundreds of times."""


@contextmanager
def relaxed_garbage_collection() -> Iterator[None]:
    """Inside, it looks seldom: what a batch leaves behind holds hardly a cycle. Also a decorator."""
    former = gc.get_threshold()
    gc.set_threshold(RELAXED_THRESHOLD, *former[1:])
    try:
        yield
    finally:
        gc.set_threshold(*former)
