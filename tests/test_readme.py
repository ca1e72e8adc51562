"""Tests of the claims in the README and .env.example."""

import re

import pytest
from django.core.management import get_commands

from api import conf as api_conf
from etl.conf import list_settings
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


SET_BY_THE_SERVICE = {"REDIS_KEY_PREFIX", "ETL_DATABASE"}
SETTINGS = [*list_settings(), *api_conf.list_settings()]
OF_THE_APPS = {setting.name: setting for setting in SETTINGS if setting.name not in SET_BY_THE_SERVICE}


def read_variables() -> set[str]:
    settings = (ROOT / "kasparro" / "settings.py").read_text()
    return set(re.findall(r'\benv\.[a-z]+\(\s*"([A-Z_]+)"', settings)) | OF_THE_APPS.keys()


def read_examples() -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", sorted(OF_THE_APPS.keys() - {"ALERT_WEBHOOKS", "ETL_SOURCES", "REDIS_URL"}))
def test_env_example_gives_the_default_of_each_setting(name: str) -> None:
    setting, example = OF_THE_APPS[name], read_examples()[name]
    assert (setting.parse(example) if example else type(setting.default)()) == setting.default


@pytest.mark.parametrize(
    ("name", "default"),
    re.findall(r"^\| `((?:ETL_|API_)\w+)` \| (\d+) \|", README, re.MULTILINE),
)
def test_the_readme_gives_the_default_of_each_setting(name: str, default: str) -> None:
    assert OF_THE_APPS[name].parse(default) == OF_THE_APPS[name].default


def test_env_example_names_every_variable() -> None:
    assert read_examples().keys() == read_variables()


def test_the_readme_names_every_variable() -> None:
    table = re.sub(r"`…_", "`ETL_HTTP_", README)
    assert [name for name in sorted(read_variables()) if f"`{name}`" not in table] == []


def test_env_example_is_a_configuration_that_works(project: Project) -> None:
    values = read_examples()
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
