"""What `pip install` brings: the two apps, with their templates, static files and migrations, and nothing else."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.processes import ROOT

APPS = ("etl", "api")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network, from a copy so that no build is left in the tree."""
    tree, built = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in (*APPS, "kasparro", "sandbox", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree)
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(built))
    command = [sys.executable, "-m", "pip", "wheel", *options, str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = built.glob("*.whl")
    return file


def test_the_wheel_has_every_file_of_the_two_apps_and_no_other(wheel: Path) -> None:
    files = (
        file for app in APPS for file in (ROOT / app).rglob("*") if file.is_file() and "__pycache__" not in file.parts
    )
    expected = {str(file.relative_to(ROOT)) for file in files}
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed ^ expected == set()
    kinds = (r"etl/templates/.+\.html", r"etl/static/.+\.css", r"etl/migrations/0001.+", r"api/templates/.+\.html")
    assert [kind for kind in kinds if not any(re.fullmatch(kind, name) for name in packed)] == []


def read_pins() -> dict[str, str]:
    texts = [(ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt")]
    pins = re.findall(r"^([\w.-]+)(?:\[\w+\])?==([\w.]+)", "\n".join(texts), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)])
def test_the_pinned_version_is_one_that_the_package_accepts(line: str) -> None:
    wanted = Requirement(line)
    if wanted.name == PROJECT["name"]:
        assert wanted.extras <= EXTRAS.keys()
    else:
        assert wanted.specifier.contains(read_pins()[canonicalize_name(wanted.name)])


def test_each_package_that_the_service_needs_is_in_the_extra_service() -> None:
    text = (ROOT / "requirements.txt").read_text().partition("# What the above pulls in")[0]
    direct = {canonicalize_name(name) for name in re.findall(r"^([\w-]+)", text, re.MULTILINE)}
    lines = [*PROJECT["dependencies"], *EXTRAS["api"], *EXTRAS["terminal"], *EXTRAS["service"]]
    named = {canonicalize_name(Requirement(line).name) for line in lines}
    assert direct - named == set()
