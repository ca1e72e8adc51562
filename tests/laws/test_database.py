"""The database of Kasparro's tables is ETL_DATABASE, wherever etl and api ask one."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR
from django.db.models import Model

from api.checks import check_routers
from etl.database import Router
from etl.installation import check_alias, check_database
from etl.target_checks import check_target
from tests.processes import ROOT
from tests.shop.sources import Products

OF_DEFAULT = {"connection", "connections", "transaction", "DEFAULT_DB_ALIAS"}
"""What `django.db` gives for `default`, or for an alias that the caller chooses."""

CHOOSING = {"etl/database.py", "api/database_deadlines/__init__.py", "api/database_deadlines/base.py"}
MODULES = sorted(
    str(file.relative_to(ROOT))
    for package in ("etl", "api")
    for file in (ROOT / package).rglob("*.py")
    if file.parent.name != "migrations"
)


def list_imports(text: str) -> Iterator[str]:
    """What the module takes from `django.db` for `default`, in any form of the import."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            taken = names & OF_DEFAULT if node.module == "django.db" else set()
            taken |= names if node.module == "django.db.transaction" else set()
            taken |= {"db"} & names if node.module == "django" else set()
            yield from taken
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("django.db"))


@pytest.mark.parametrize("text", ["from django.db import Error, connection", "import django.db.transaction as t"])
def test_an_import_of_the_default_database_is_seen(text: str) -> None:
    assert list(list_imports(text)) != []


def test_no_module_takes_a_connection_or_a_transaction_from_django() -> None:
    taken = {module: sorted(list_imports(Path(ROOT / module).read_text())) for module in MODULES}
    assert {module: names for module, names in taken.items() if names and module not in CHOOSING} == {}, (
        "Take them from etl.database, which gives those of ETL_DATABASE."
    )


class Elsewhere:
    """A project's router that sends some apps to another database."""

    labels: tuple[str, ...] = ()

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return "elsewhere" if model._meta.app_label in self.labels else None


class OfEtl(Elsewhere):
    labels = ("etl",)


class OfTheShop(Elsewhere):
    labels = ("shop",)


class OfUsers(Elsewhere):
    labels = ("auth",)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"DATABASE_ROUTERS": ["etl.database.Router"]}, []),
        ({"DATABASE_ROUTERS": [OfEtl()]}, ["etl.E037"]),
        ({"DATABASE_ROUTERS": [Router(), OfEtl()]}, []),
        ({"DATABASE_ROUTERS": [OfTheShop()]}, ["etl.E025"]),
        ({"DATABASE_ROUTERS": [OfUsers()]}, ["kasparro_api.E002"]),
        ({"DATABASE_ROUTERS": [Router(), OfUsers()]}, []),
    ],
    ids=[
        "none",
        "Kasparro's",
        "etl",
        "Kasparro's first, then etl",
        "the shop",
        "users",
        "Kasparro's first, then users",
    ],
)
def test_check_names_a_router_that_is_missing_or_separates_what_belongs_together(
    settings: Any, changed: dict[str, Any], expected: list[str]
) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    found = [*check_alias(None), *check_routers(None), *check_target("products", Products())]
    errors = [each for each in found if each.level >= ERROR]
    assert [*dict.fromkeys(each.id for each in errors)] == expected
    assert all(each.hint for each in errors)


def test_an_alias_that_the_project_does_not_have_is_the_only_error(settings: Any) -> None:
    settings.ETL_DATABASE = "elsewhere"
    (error,) = [*check_alias(None), *check_database(None)]
    assert (error.id, error.hint) == ("etl.E036", "Use an alias of DATABASES: default.")
