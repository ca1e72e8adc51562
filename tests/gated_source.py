"""Products that wait in the middle of their file until a test has done what must happen before their run's end."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from etl.records import Breach, UnifiedFields
from etl.sources.products import ProductsCsv
from tests.processes import Project

PATH = "tests.gated_source.GatedProducts"
VARIABLE = "GATE"
LAST_BEFORE = 1_500
"""The product after which the gate stands."""


class GatedProducts(ProductsCsv):
    """Reads on after the gate as soon as the file that VARIABLE names exists."""

    def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
        gate = os.environ.get(VARIABLE)
        while gate and int(values["product_id"]) > LAST_BEFORE and not Path(gate).exists():
            time.sleep(0.01)
        return super().unify(values)


@contextmanager
def gated(project: Project) -> Iterator[None]:
    """No run of `products_csv` that starts in this block ends before the block does."""
    gate = project.folder / "gate"
    project.environment |= {"ETL_SOURCES": PATH, VARIABLE: str(gate)}
    yield
    gate.touch()
