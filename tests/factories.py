"""Inputs for tests: files and records, with defaults for the values that a test does not care about."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from etl.local_copy import LocalCopy
from etl.readers.content import Content
from etl.records import Cursor, Record, Refusal

PRODUCT_HEADER = ("product_id", "name", "category", "price", "extra_col")


def write_products(path: Path, rows: Iterable[Sequence[Any]]) -> Path:
    """Write a products file; each row is (product_id, name, category, price, extra_col)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(PRODUCT_HEADER)
        writer.writerows(rows)
    return path


def make_products(count: int, *, start: int = 1) -> Iterator[tuple[Any, ...]]:
    """Return `count` valid products, with ids from `start` on."""
    return ((number, f"Product {number}", "Things", number, "x") for number in range(start, start + count))


def hold(content: bytes) -> LocalCopy:
    """Return a local copy of these bytes, as a reader gets it."""
    return LocalCopy(io.BytesIO(content), hashlib.sha256(content).hexdigest(), len(content))


def read_items(content: Content, cursor: Cursor | None = None, *, batch_size: int = 1000) -> list[Record | Refusal]:
    """Return all items after the cursor."""
    return [item for chunk in content.read(cursor, batch_size) for item in chunk.items]
