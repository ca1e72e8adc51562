"""What the README and .env.example claim."""

import re

import pytest
from django.core.management import get_commands

from tests.processes import ROOT, Project

README = (ROOT / "README.md").read_text()


def test_every_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"manage\.py ([a-z]+)", README))
    assert named
    assert named <= set(get_commands())


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)`|^make ([a-z]+)$", README, re.MULTILINE))
    assert {one or other for one, other in named} <= targets


def test_every_file_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def read_variables() -> set[str]:
    settings = (ROOT / "kasparro" / "settings.py").read_text()
    return set(re.findall(r'\benv\.[a-z]+\(\s*"([A-Z_]+)"', settings))


def test_env_example_names_every_variable() -> None:
    named = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named == read_variables()


def test_the_readme_names_every_variable() -> None:
    table = re.sub(r"`…_", "`ETL_HTTP_", README)
    assert [name for name in sorted(read_variables()) if f"`{name}`" not in table] == []


def test_env_example_is_a_configuration_that_works(project: Project) -> None:
    text = (ROOT / ".env.example").read_text()
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    given = {"SECRET_KEY": "x" * 60, "DATABASE_URL": "", "REDIS_URL": ""}
    environment = {**values, **{name: value for name, value in project.make_environment({}).items() if name in given}}
    done = project.run("check", **(environment | {"SECRET_KEY": "a-secret-of-some-length", "DEBUG": "off"}))
    assert done.returncode == 0, done.stderr


def test_the_source_of_the_readme_works(project: Project) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    data = project.folder / "parts.csv"
    data.write_text("number,title,family,price\nP1,Bolt,Steel,0.10\nP2,Nut,Steel,free\n")
    (project.folder / "readme_parts.py").write_text(code[1].replace("data/parts.csv", str(data)))
    project.environment |= {"ETL_SOURCES": "readme_parts.Parts", "PYTHONPATH": f"{ROOT}:{project.folder}"}
    (outcome,) = project.ingest("parts")
    assert (outcome["new"], outcome["quarantined"]) == (1, 1)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_direct_requirement_is_pinned(name: str) -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    assert [line for line in lines if line and not line.startswith("-r") and "==" not in line] == []
