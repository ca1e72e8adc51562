"""System checks of the project that `etl` is installed in. They import no models, because they report missing apps."""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.db.models import Model

from etl.database import connection, is_known, name_database

TAG = "etl"
"""The tag of the pipeline's checks, but the one of ETL_SOURCES. Its commands run no checks of other apps."""
SOURCES_TAG = "etl_sources"
"""The tag of the check of ETL_SOURCES, which `startsource` leaves out."""

BEAT = "django_celery_beat"
NAMES = ("etl", "api")
DRIVERS = ("psycopg", "psycopg2")
DRIVER_HINT = 'Install one: pip install "psycopg[binary]".'


def require_driver() -> None:
    """Raise ImproperlyConfigured if the database's engine can't be loaded because its driver is missing.

    Django needs the engine for its models, so no check could run.
    """
    problem = find_driver_problem()
    if not (problem and is_known()):
        return
    try:
        connection.vendor  # noqa: B018  (loads the engine)
    except (ImproperlyConfigured, ImportError):
        raise ImproperlyConfigured(f"(etl.E035) {problem}\n\tHINT: {DRIVER_HINT}") from None


def find_driver_problem() -> str:
    """Return why no driver of PostgreSQL can be imported; empty if one can."""
    causes = []
    for name in DRIVERS:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            causes.append(f"{name} is not installed" if error.name == name else f"{name} lacks {error.name}")
        except ImportError:
            causes.append(f"{name} is installed, but its C library can't be loaded")
        else:
            return ""
    return f"PostgreSQL's driver is missing: {', and '.join(causes)}."


@register(TAG)
def check_driver(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E035: neither psycopg nor psycopg2 can be imported. With a PostgreSQL engine, `require_driver` says it."""
    problem = find_driver_problem()
    return [Error(problem, hint=DRIVER_HINT, id="etl.E035")] if problem else []


@register(TAG)
def check_beat(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E031: the app that holds the schedules of the sources is not installed."""
    if apps.is_installed(BEAT):
        return []
    hint = f'Add "{BEAT}" to INSTALLED_APPS, and install the package django-celery-beat.'
    return [Error("etl keeps the schedules of its sources in django_celery_beat.", hint=hint, id="etl.E031")]


@register(TAG)
def check_database(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E032: the database is not PostgreSQL."""
    if not is_known() or connection.vendor == "postgresql":
        return []
    hint = 'Use the engine "django.db.backends.postgresql" and PostgreSQL 15 or newer.'
    return [Error(f"etl needs PostgreSQL, but the database is {connection.vendor}.", hint=hint, id="etl.E032")]


@register(TAG)
def check_alias(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E036: DATABASES lacks ETL_DATABASE. etl.E037: the routers send Kasparro's tables elsewhere."""
    if not is_known():
        hint = f"Use an alias of DATABASES: {', '.join(settings.DATABASES)}."
        return [Error(f"ETL_DATABASE = {name_database()!r} is not in DATABASES.", hint=hint, id="etl.E036")]
    elsewhere = [model._meta.label for model in apps.get_app_config("etl").get_models() if not _is_at_home(model)]
    if not elsewhere:
        return []
    hint = 'Put "etl.database.Router" first in DATABASE_ROUTERS.'
    text = (
        f"ETL_DATABASE is {name_database()!r}, but the routers send {len(elsewhere)} models elsewhere: {elsewhere[0]}"
    )
    return [Error(f"{text}{', …' if len(elsewhere) > 1 else ''}.", hint=hint, id="etl.E037")]


def _is_at_home(model: type[Model]) -> bool:
    is_written_here = router.db_for_write(model) == name_database()
    return is_written_here and bool(router.allow_migrate_model(name_database(), model))


@register(TAG)
def check_names(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """etl.E033: Python's path has two modules named `etl` or `api`, so that only the first can be imported."""
    return [
        Error(
            f"Two modules are named {name}: {', '.join(map(str, files))}. Only the first is imported.",
            hint=f"Rename the project's own module {name}, or move it into a package.",
            id="etl.E033",
        )
        for name in NAMES
        if len(files := list(dict.fromkeys(_find_modules(name)))) > 1
    ]


def _find_modules(name: str) -> Iterator[Path]:
    for folder in sys.path:
        spec = PathFinder.find_spec(name, [folder or "."])
        if spec is not None and spec.has_location and spec.origin is not None:
            yield Path(spec.origin).resolve()
