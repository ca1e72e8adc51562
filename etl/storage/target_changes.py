"""Compares a team's own table with its model: what has changed so that the source can't write to it."""

import re
from collections.abc import Collection, Iterator, Sequence

from django.db import models

from etl.database import advise_migrating, connection
from etl.exceptions import RunError
from etl.readers.model_types import AnyField
from etl.readers.target_plan import TargetPlan
from etl.storage.target_tables import TargetTable, list_columns, load_table
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import Reason

_WHOLE = ("smallint", "integer", "bigint", "numeric")
"""Types of whole numbers: each holds all that those before it hold."""

_LIMITS = re.compile(r"(?P<base>[a-z ]+?)(?:\((?P<limits>[0-9,]+)\))?")


def require_target(plan: TargetPlan) -> None:
    """Raise RunError if a table of the target or of its parents is not as the model says."""
    with bounded_transaction() as cursor:
        require_table(plan, load_table(cursor, plan.into.model))
        for each in plan.parents:
            known = list_columns(cursor, each.model)
            _refuse(plan, _find_missing(each.model, [str(each.model._meta.pk.column), *each.natural], known))


def require_table(plan: TargetPlan, table: TargetTable) -> None:
    """Raise RunError if the target's own table is not as its model says."""
    model = plan.into.model
    known = table.columns.keys() | table.generated
    _refuse(plan, _find_missing(model, [str(field.column) for field in model._meta.concrete_fields], known))
    _refuse(plan, [*_find_narrowed(plan, table), *(_find_unfilled(plan, table) if plan.into.creates else [])])


def explain_change(plan: TargetPlan, why: str) -> RunError:
    """Return the error of a run whose target has changed."""
    text = f"The target {plan.into.label} has changed: {why}. Run {advise_migrating()}, then again."
    return RunError(text, Reason.TARGET_CHANGED)


def _refuse(plan: TargetPlan, complaints: Sequence[str]) -> None:
    if complaints:
        raise explain_change(plan, "; ".join(complaints))


def _find_missing(model: type[models.Model], columns: Sequence[str], known: Collection[str]) -> list[str]:
    """Return which of the columns the model's table does not have."""
    if not known:
        return [f"there is no table {model._meta.db_table}"]
    missing = [column for column in columns if column not in known]
    return [f"the table {model._meta.db_table} has no column {', '.join(missing)}"] if missing else []


def _find_narrowed(plan: TargetPlan, table: TargetTable) -> Iterator[str]:
    """Find the columns that can no longer hold what their fields can."""
    filled = set(plan.filled)
    for field in plan.into.model._meta.concrete_fields:
        if field.column in filled and plan.into.model._meta.managed:
            column, declared = table.columns.get(str(field.column)), _spell(str(field.db_type(connection)))
            if column is None:
                yield f"the column {field.column} is now a generated column"
            elif _is_narrower(column.type, declared):
                yield f"the column {field.column} is {column.type}, not {declared}"


def _spell(declared: str) -> str:
    """Return a type as PostgreSQL writes it."""
    text = re.sub(r"\bvarchar\b", "character varying", re.sub(r",\s+", ",", declared))
    return "time without time zone" if text == "time" else text


def _is_narrower(actual: str, declared: str) -> bool:
    if actual == declared:
        return False
    found, wanted = _LIMITS.fullmatch(actual), _LIMITS.fullmatch(declared)
    if found is None or wanted is None:
        return False
    if found["base"] != wanted["base"]:
        return not _is_wider(found["base"], wanted["base"])
    return not _holds(_list_limits(found["limits"]), _list_limits(wanted["limits"]))


def _is_wider(actual: str, declared: str) -> bool:
    if declared == "character varying":
        return actual in ("text", "citext")
    return actual in _WHOLE and declared in _WHOLE and _WHOLE.index(actual) > _WHOLE.index(declared)


def _list_limits(text: str | None) -> list[int]:
    return [int(limit) for limit in text.split(",")] if text else []


def _holds(actual: Sequence[int], declared: Sequence[int]) -> bool:
    """Whether a type with these limits holds what the same type with the declared ones holds: length, or digits."""
    if not actual:
        return True
    if not declared:
        return False
    whole = actual[0] - sum(actual[1:]) >= declared[0] - sum(declared[1:])
    return whole and sum(actual[1:]) >= sum(declared[1:])


def _find_unfilled(plan: TargetPlan, table: TargetTable) -> Iterator[str]:
    """Find the columns that take no NULL, and that a new row would have no value for."""
    fields = {str(field.column): field for field in plan.into.model._meta.concrete_fields}
    filled = set(plan.filled)
    for name, column in table.columns.items():
        if column.is_required and not column.has_default and name not in filled and not _has_value(fields.get(name)):
            yield f"the column {name} takes no NULL, and a new row has no value for it"


def _has_value(field: "AnyField | None") -> bool:
    if field is None:
        return False
    is_set = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    return field.has_default() or is_set or field.get_default() is not None
