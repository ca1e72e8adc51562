"""examples/files: the six kinds of files that shops, councils and banks send, each described in at most 25 lines."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from etl.checks import check_sources
from etl.readers.source import Source
from etl.testing import assert_source
from tests.processes import ROOT

FOLDER = ROOT / "examples" / "files"
MODULES = sorted(FOLDER.glob("*.py"))

LANDED: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "shop_orders.ShopOrders": (
        *("shop_orders.json", 2, 0),
        {"external_id": "7100", "value": "5.10", "currency": "USD", "event_timestamp": "2025-01-10T16:00:00Z"},
    ),
    "shop_products.ShopProducts": (
        "shop_products.csv",
        3,
        1,
        {"external_id": "sample|SA-1", "value": "0", "currency": "EUR"},
    ),
    "council_spend.CouncilSpend": ("council_spend_2025-01.csv", 4, 0, {"name": "Café BETA & CO", "value": "99.99"}),
    "wallet.Wallet": (
        *("wallet.csv", 3, 0),
        {"external_id": "9X00", "value": "-0.5", "event_timestamp": "2024-10-27T01:30:00Z"},
    ),
    "bank_preamble.BankPreamble": ("bank_preamble_2025-12.csv", 2, 0, {"name": "Miete; Dezember", "value": "1200"}),
    "bank_cp1252.BankCp1252": ("bank_cp1252_2025-12.csv", 3, 0, {"name": "G Z", "value": "-200", "currency": "EUR"}),
}


def load(name: str) -> type[Source]:
    module, _, kind = name.partition(".")
    found: type[Source] = getattr(import_module(f"examples.files.{module}"), kind)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("name", LANDED)
def test_each_file_lands_whole(name: str) -> None:
    data, landed, skipped, record = LANDED[name]
    found = assert_source(load(name), gives=FOLDER / "data" / data)
    found.lands(landed, record).refuses().skips(skipped).twice_writes_nothing()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_each_takes_at_most_25_lines_and_imports_only_the_language(path: Path) -> None:
    text = path.read_text()
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert len(text.splitlines()) <= 25
    assert imported == {"etl.sources"}


def test_each_is_listed_here_and_passes_the_checks(settings: Any) -> None:
    settings.ETL_SOURCES = [f"examples.files.{name}" for name in LANDED]
    assert {name.partition(".")[0] for name in LANDED} == {path.stem for path in MODULES}
    assert check_sources(None) == []
