"""docs/architecture.md names every module, layer and table; no document names a path that does not exist."""

import ast
import re
import tomllib
from itertools import groupby
from pathlib import Path

import pytest
from django.apps import apps

from tests.processes import ROOT

PACKAGES = ("etl", "api", "kasparro")
PAGE = (ROOT / "docs/architecture.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "bench/README.md", ROOT / "tests/upgrade/README.md"]
DECISIONS = sorted((ROOT / "docs/decisions").glob("0*.md"))
TESTS = "\n".join(file.read_text() for file in ROOT.glob("tests/**/*.py"))
Table = list[list[str]]


def read_tables(heading: str) -> list[Table]:
    """The tables of the page's section, each as rows of cells without its head."""
    (section,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    lines = groupby(section.splitlines(), key=lambda line: line.startswith("|"))
    return [[line.strip("| ").split(" | ") for line in list(rows)[2:]] for is_table, rows in lines if is_table]


def find_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def list_modules() -> set[str]:
    """All modules with code; a package goes by its folder, and so do the migrations of an app."""
    files = [file.relative_to(ROOT) for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    by_folder = {file for file in files if file.name == "__init__.py" or file.parent.name == "migrations"}
    with_code = {file for file in files if len(ast.parse((ROOT / file).read_text()).body) > (file in by_folder)}
    return {f"{file.parent}/" if file in by_folder else str(file) for file in with_code}


def read_law() -> list[list[set[str]]]:
    """The layers of the import law, one list per contract, the highest layer first."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    contracts = [contract for contract in tool["importlinter"]["contracts"] if contract["type"] == "layers"]
    return [[set(layer.split(" | ")) for layer in contract["layers"] if layer != "etl"] for contract in contracts]


def group_by_layer(table: Table) -> list[set[str]]:
    layers = groupby(table, key=lambda row: row[0])
    return [set().union(*(find_code(row[1]) for row in rows)) for _, rows in layers]


def test_every_module_is_the_answer_to_a_question() -> None:
    rows = [row for table in read_tables("Where is …") for row in table]
    assert sorted(list_modules() - set().union(*(find_code(answer) for _, answer in rows))) == []
    assert [question for question, _ in rows if not question.endswith("?")] == []


def test_every_layer_of_the_import_law_is_described() -> None:
    assert [group_by_layer(table) for table in read_tables("Layers")] == read_law()


def test_every_table_has_its_sentence() -> None:
    models = [model for name in ("etl", "kasparro_api") for model in apps.get_app_config(name).get_models()]
    (rows,) = read_tables("Tables")
    assert sorted(name for row in rows for name in find_code(row[0])) == sorted(m._meta.db_table for m in models)


@pytest.mark.parametrize("document", sorted(DOCUMENTS), ids=lambda file: str(file.relative_to(ROOT)))
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    folders = "|".join(re.escape(file.name) for file in ROOT.iterdir() if file.is_dir())
    paths = {ROOT / name for name in find_code(text) if re.fullmatch(rf"(?:{folders})/[\w./-]+", name)}
    links = {document.parent / link for link in re.findall(r"\]\(([^)#:\s]+)[)#]", text)}
    assert [path for path in sorted(paths | links) if not path.exists()] == []


def test_every_test_that_a_document_names_exists() -> None:
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    named = set(re.findall(r"\b(?<!/)test_\w+\b(?!\.)", text))
    assert [name for name in sorted(named) if not re.search(rf"^\s*def {name}\(", TESTS, re.MULTILINE)] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda file: file.stem)
def test_every_decision_has_a_date_and_a_status_and_is_listed(decision: Path) -> None:
    title, _, status = decision.read_text().splitlines()[:3]
    day = r"\d{4}-\d\d-\d\d"
    assert re.fullmatch(rf"Status: (Accepted|Superseded by \[.+\]\(.+\))(, amended on {day})?\. Date: {day}\.", status)
    number, _, name = title.removeprefix("# ").partition(". ")
    index = (ROOT / "docs/decisions/README.md").read_text()
    assert f"| [{int(number):04}]({decision.name}) | {name} |" in index
