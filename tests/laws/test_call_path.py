"""A worker's run calls down through the layers; only a few calls go back up."""

import sys
import tomllib
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from etl.execution.executor import execute_queued
from etl.models import Run
from etl.runs import orders
from etl.supervision.run_context import RunContext
from etl.vocabulary import Trigger
from tests.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)
PACKAGE = str(ROOT / "etl") + "/"


def read_layers() -> dict[str, int]:
    """Map each child of `etl` to its layer in pyproject.toml's import contract; 0 is the highest."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (law,) = (contract for contract in contracts if contract.get("containers") == ["etl"])
    return {
        name.strip(): number
        for number, layer in enumerate(law["layers"])
        for name in layer.replace(":", "|").split("|")
    }


def find_child(code: CodeType) -> str | None:
    """The child of `etl` that contains this code."""
    if not code.co_filename.startswith(PACKAGE):
        return None
    return Path(code.co_filename.removeprefix(PACKAGE).split("/")[0]).stem


def find_caller(frame: FrameType) -> CodeType | None:
    """The nearest caller in `etl`. A step that `RunContext.retry` repeats has the caller of `retry` as its own."""
    caller = frame.f_back
    while caller is not None and (find_child(caller.f_code) is None or caller.f_code is RunContext.retry.__code__):
        caller = caller.f_back
    return caller.f_code if caller is not None else None


def test_a_workers_run_climbs_three_times_at_most(settings: Any, tmp_path: Path) -> None:
    layers, climbs = read_layers(), set()
    path = tmp_path / "products.csv"
    path.write_text("product_id,name,category,price\n1,Nut,Steel,0.1\n2,Bolt,Steel,none\n")
    settings.PRODUCTS_CSV = str(path)
    run = orders.queue("products_csv", trigger=Trigger.API, by="a test")

    def note(frame: FrameType, event: str, argument: object) -> None:
        callee, caller = frame.f_code, find_caller(frame) if event == "call" else None
        child = find_child(callee)
        if caller is not None and child is not None and layers[child] < layers[find_child(caller) or child]:
            climbs.add(f"{find_child(caller)}.{caller.co_name} → {child}.{callee.co_name}")

    sys.setprofile(note)
    try:
        execute_queued(run.pk)
    finally:
        sys.setprofile(None)
    assert Run.objects.get(pk=run.pk).status == "partial"
    # The contract takes columns by the names that it has resolved; the progress report; `run_closed` after a commit.
    assert len(climbs) <= 3, sorted(climbs)
