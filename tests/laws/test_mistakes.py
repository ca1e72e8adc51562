"""The seeded mistakes fit the code, name existing tests, and match the lists in docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

from tests.laws.mistakes import MISTAKES
from tests.laws.seeding import Mistake
from tests.processes import ROOT

PAGE = ROOT / "docs" / "architecture.md"
NOT_YET: frozenset[int] = frozenset()
"""Laws that the code does not follow yet."""

EACH = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "_"))


def read_laws() -> dict[int, str]:
    """Map each law's number to its text on the page."""
    laws = PAGE.read_text().partition("\n## The laws\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### (\d+)\. ", laws, flags=re.MULTILINE)[1:]
    return {int(number): text for number, text in zip(parts[::2], parts[1::2], strict=True)}


def describe(mistake: Mistake) -> str:
    """The mistake's line on the page."""
    places = (test.partition("::") for test in mistake.caught_by)
    return f"- *{mistake.name}*: {', '.join(f'[`{name}`](../{file})' for file, _, name in places)}"


@EACH
def test_each_text_to_change_stands_once(mistake: Mistake) -> None:
    assert len(list(mistake.find_places(ROOT))) == len(mistake.changes)


@EACH
def test_each_mistake_is_valid_python(mistake: Mistake) -> None:
    texts: dict[Path, str] = {}
    for path, former, wrong in mistake.find_places(ROOT):
        texts[path] = texts.get(path, path.read_text()).replace(former, wrong)
    for path, text in texts.items():
        if path.suffix == ".py":
            compile(text, path, "exec")


@EACH
def test_each_test_that_is_named_exists(mistake: Mistake) -> None:
    for test in mistake.caught_by:
        file, _, name = test.partition("::")
        functions = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if hasattr(node, "name")}
        assert name.partition("[")[0] in functions


def test_names_tell_mistakes_apart() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)


def test_the_laws_are_numbered() -> None:
    assert list(read_laws()) == list(range(1, 16))


def test_every_law_has_a_mistake_or_says_that_it_is_not_kept_yet() -> None:
    assert {mistake.law for mistake in MISTAKES} == read_laws().keys() - NOT_YET
    assert all("Not kept yet" in read_laws()[number] for number in NOT_YET)


@pytest.mark.parametrize("number", range(1, 16))
def test_the_page_lists_the_mistakes_of_each_law_and_their_tests(number: int) -> None:
    listed = [line for line in read_laws()[number].splitlines() if line.startswith("- *")]
    assert listed == [describe(mistake) for mistake in MISTAKES if mistake.law == number]
