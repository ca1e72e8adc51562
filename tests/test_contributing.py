"""The hooks of pre-commit are the tools of `make lint`, and the scripts of CI name tests that exist."""

import re

import pytest
import yaml

from tests.processes import ROOT


def test_pre_commit_runs_the_tools_of_make_lint_from_the_venv() -> None:
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = [line.replace("\t@$(BIN)/", ".venv/bin/") for line in recipe.splitlines()]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    entries = tuple(hook["entry"] for hook in repository["hooks"])
    assert [command for command in commands if not command.startswith(entries)] == []


@pytest.mark.parametrize("path", [".ci/run", ".ci/oldest", ".ci/matrix", "Makefile", "tests/conftest.py"])
def test_tests_that_a_script_names_exist(path: str) -> None:
    named = re.findall(r"(?<![\w/])tests/[\w./]*\w", (ROOT / path).read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []
