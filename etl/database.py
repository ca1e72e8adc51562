"""The database of Kasparro's tables, ETL_DATABASE: its connection, its transactions, and the router of the models.

Nothing else in `etl` and `api` takes a connection or a transaction from Django, which would give those of `default`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

from etl.conf import conf

View = TypeVar("View", bound=Callable[..., Any])

LABEL = "etl"
API_LABEL = "kasparro_api"


def name_database() -> str:
    """Return the alias of the database with Kasparro's tables."""
    return conf.ETL_DATABASE


def is_known() -> bool:
    """Whether DATABASES has that alias."""
    return name_database() in connections


class _Connection:
    """This thread's connection to that database, as `django.db.connection` is the one to `default`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[name_database()], name)


connection = cast(BaseDatabaseWrapper, _Connection())


def connect(using: str | None = None) -> BaseDatabaseWrapper:
    """Return this thread's connection to that database, or to the one with Kasparro's tables."""
    return connections[using or name_database()]


def connect_to(model: type[Model]) -> BaseDatabaseWrapper:
    """Return this thread's connection to the database in which the model is written."""
    return connections[router.db_for_write(model)]


def list_connections() -> list[BaseDatabaseWrapper]:
    """Return this thread's connections to Kasparro's tables and to the users; one, if they are together."""
    aliases = dict.fromkeys((name_database(), router.db_for_write(get_user_model())))
    return [connections[alias] for alias in aliases]


def atomic(*, using: str | None = None, durable: bool = False) -> transaction.Atomic:
    """Open a transaction, or a savepoint in one, as `django.db.transaction.atomic` does."""
    return transaction.atomic(using=using or name_database(), durable=durable)


def on_commit(then: Callable[[], object]) -> None:
    """Call this once the transaction is committed, or at once outside a transaction."""
    transaction.on_commit(then, using=name_database())


def keep_out_of_transactions(view: View) -> View:
    """Keep ATOMIC_REQUESTS from the view: what it does commits by itself, with bounded waits."""
    for alias in connections:
        view = transaction.non_atomic_requests(alias)(view)
    return view


def advise_migrating() -> str:
    """Return the commands that bring the tables up to date."""
    command = "`manage.py migrate`"
    return command if name_database() == DEFAULT_DB_ALIAS else f"{command[:-1]} --database {name_database()}`"


def has_users() -> bool:
    """Whether the users are in the same database: so it is unless ETL_DATABASE is set."""
    return name_database() == DEFAULT_DB_ALIAS


def with_user(rows: QuerySet[Any], *names: str) -> QuerySet[Any]:
    """Read the users of these fields with the rows: by a join, or from another database by one further query."""
    return rows.select_related(*names) if has_users() else rows.prefetch_related(*names)


class Router:
    """A router for DATABASE_ROUTERS: the tables of `etl` are in ETL_DATABASE, and the tokens are with the users."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """Return the alias; a row of `etl` finds its user where users are."""
        found = _find_database(model._meta.app_label)
        row = hints.get("instance")
        is_of_etl = row is not None and row._meta.app_label == LABEL
        return router.db_for_read(model) if found is None and is_of_etl else found

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return _find_database(model._meta.app_label)

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:
        """Allow that a row of `etl` keeps the id of a user."""
        return True if LABEL in (one._meta.app_label, other._meta.app_label) else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        found = _find_database(app_label)
        return None if found is None else found == db


def _find_database(app_label: str) -> str | None:
    if app_label == API_LABEL:
        return router.db_for_write(get_user_model())
    return name_database() if app_label == LABEL else None
