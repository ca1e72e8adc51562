"""Products that wait in the middle of their file until a test has done what must happen before their run's end."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.readers.source import Source
from etl.records import Breach, UnifiedFields, Unwanted
from etl.sources.products import ProductsCsv
from tests.processes import Project
from tests.worker_sources import QuickProducts

PATH = "tests.gated_source.GatedProducts"
PATHS = {
    "tests.worker_sources.QuickProducts": "tests.gated_source.GatedQuickProducts",
    "tests.shop.sources.ProductsIntoThings": "tests.shop.sources.ProductsIntoThings",
}
"""What stands for each source; for all others, PATH. A source with `into` has no gate: it may declare no `judge`."""
VARIABLE = "GATE"
FIRST_PLACE = 1_500
"""More products than a run judges before its first batch lands."""
OPEN = 1_000_000


class Gated(Source):
    """Reads a product as soon as the file that VARIABLE names has this product's number in it, or a larger one."""

    def judge(self, values: Mapping[str, Any]) -> UnifiedFields | Breach | Unwanted:
        while (gate := os.environ.get(VARIABLE)) and int(values["product_id"]) > _read_place(Path(gate)):
            time.sleep(0.01)
        return super().judge(values)


class GatedProducts(Gated, ProductsCsv):
    """The products."""


class GatedQuickProducts(Gated, QuickProducts):
    """The products, due every second."""


def _read_place(gate: Path) -> int:
    """Return the number of the last product before the gate."""
    return int(gate.read_text() or 0)  # empty while it is written


@dataclass(frozen=True)
class Gate:
    """The file that says which product is the last one before the gate."""

    file: Path

    def move(self, place: int) -> None:
        self.file.write_text(str(max(place, FIRST_PLACE)))


@contextmanager
def gated(project: Project) -> Iterator[Gate]:
    """No run of `products_csv` that starts in this block ends before the block does, unless the gate is moved."""
    gate = Gate(project.folder / "gate")
    gate.move(FIRST_PLACE)
    path = PATHS.get(project.environment.get("ETL_SOURCES", ""), PATH)
    project.environment |= {"ETL_SOURCES": path, VARIABLE: str(gate.file)}
    yield gate
    gate.move(OPEN)
