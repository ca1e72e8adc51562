"""Relaxes Python's garbage collector, which would otherwise scan imports and batches repeatedly while they live."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RELAXED_THRESHOLD = 100_000
"""New objects between two collections. With Python's default of 700, each batch is scanned hundreds of times."""


@contextmanager
def relaxed_garbage_collection() -> Iterator[None]:
    """Make the collector run rarely, because batches and imports make almost no cycles. Also usable as a decorator."""
    former = gc.get_threshold()
    gc.set_threshold(RELAXED_THRESHOLD, *former[1:])
    try:
        yield
    finally:
        gc.set_threshold(*former)
