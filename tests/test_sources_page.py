"""docs/sources.md: each example does what the page says."""

import doctest
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin

import tests.shop.models
from etl.judgement import Item, Judge
from etl.readers.file_source import FileSource
from etl.records import Refusal, Skipped
from tests.factories import hold
from tests.listed_source import ingest_here
from tests.processes import ROOT

PAGE = (ROOT / "docs" / "sources.md").read_text()
BLOCK = re.compile(r"^ *```(python|pycon)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def judge(kind: type[FileSource], text: str | bytes, file: str = "") -> list[dict[str, Any] | str]:
    """Return each record's unified fields, or its refusal, as a run would judge this content."""
    source, content = kind(), text.encode() if isinstance(text, str) else text
    chunks = source.dialect.open(hold(content), source).read(None, 10_000)
    return [_show(item) for chunk in chunks for item in Judge(source, file).judge(chunk.items)]


def run(kind: type[FileSource], text: str, folder: Path) -> str:
    """Run the source with a file of this content, and return how the run ended."""
    source = kind()
    path = folder / f"{source.name}.csv"
    path.write_text(text)
    vars(source)["path"] = str(path)
    return str(ingest_here(source))


def _show(item: Item) -> dict[str, Any] | str:
    if isinstance(item, Refusal):
        return f"line {item.line}: {item.breach.message} ({item.breach.code})"
    if isinstance(item, Skipped):
        return f"line {item.record.line}: skipped"
    return {name: value for name, value in asdict(item.unified).items() if value is not None}


def list_sections() -> list[str]:
    """Return the page by headings of the second level; names of the first section hold in all."""
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's examples import a team's own models, and register one in the admin."""
    monkeypatch.setitem(sys.modules, "shop", tests.shop)
    monkeypatch.setitem(sys.modules, "shop.models", tests.shop.models)
    yield
    if admin.site.is_registered(tests.shop.models.Product):
        admin.site.unregister(tests.shop.models.Product)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("section", list_sections(), ids=lambda section: section.partition("\n")[0])
def test_each_example_does_what_the_page_says(section: str, tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "page", "judge": judge, "run": partial(run, folder=tmp_path)}
    for language, text in BLOCK.findall(list_sections()[0].replace("pycon", "skipped") + section):
        if language == "python":
            exec(text, names)
            continue
        report: list[str] = []
        runner = doctest.DocTestRunner()
        example = doctest.DocTestParser().get_doctest(text, names, section.partition("\n")[0], "sources.md", 0)
        runner.run(example, out=report.append, clear_globs=False)
        names |= example.globs
        assert not runner.failures, "".join(report)


def test_the_table_of_contents_has_each_section_in_order() -> None:
    headings = [line.removeprefix("## ") for line in PAGE.splitlines() if line.startswith("## ")]
    table = list_sections()[0].partition("| section |")[2]
    linked = re.findall(r"^\| \[([^]]+)\]\(#([a-z-]+)\)", table, re.MULTILINE)
    assert [name for name, _ in linked] == headings
    assert all(anchor == name.lower().replace(" ", "-") for name, anchor in linked)
