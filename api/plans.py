"""The web process's plans: a `Planned` statement is prepared when a session first meets it, and then only executed.

The pipeline's statements run too seldom in one session to gain from it.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.signals import connection_created

from etl.planned import Planned

_prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
"""Session → the names of what it has prepared."""


def install() -> None:
    """From now on every new session of this process keeps plans."""
    connection_created.connect(_keep_plans)


def _keep_plans(connection: Any, **kwargs: Any) -> None:
    if _execute not in connection.execute_wrappers:
        connection.execute_wrappers.append(_execute)


def _execute(execute: Callable[..., Any], statement: str, values: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
    """A wrapper as Django's `execute_wrapper` takes it."""
    if not isinstance(statement, Planned):
        return execute(statement, values, many, context)
    names = _prepared.setdefault(context["connection"].connection, set())
    if statement.name not in names:
        execute(f"PREPARE {statement.name} AS {statement.prepared}", None, False, context)
        names.add(statement.name)
    given = f" ({', '.join(['%s'] * len(values))})" if values else ""
    return execute(f"EXECUTE {statement.name}{given}", values, many, context)
