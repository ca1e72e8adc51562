"""Column types and constraints that several tables share."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from django.db import models
from django.db.models import Q

from etl.database import has_users
from etl.records import unwrap_payload

# Django has no relation between two databases: without a constraint, a row keeps the id of a user who has been deleted.
# Migrations take these values too, so that they create what the models say.
HAS_USERS = has_users()
ON_USER_DELETE = models.SET_NULL if HAS_USERS else models.DO_NOTHING


def choices_of(words: type[StrEnum]) -> list[tuple[str, str]]:
    return [(word.value, word.value.replace("_", " ")) for word in words]


def known_words(column: str, words: Iterable[StrEnum], table: str) -> models.CheckConstraint:
    values = [word.value for word in words]
    return models.CheckConstraint(condition=Q(**{f"{column}__in": values}), name=f"{table}_{column}_known")


class JsonTextField(models.TextField):  # type: ignore[type-arg]
    """PostgreSQL `json`, which keeps the text as received. Returns that text, which the driver would parse.

    A record with words such as NaN, which PostgreSQL refuses, is stored as a JSON string of its text.
    """

    def db_type(self, connection: Any) -> str:
        return "json"

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return f"{sql}::text", params

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return unwrap_payload(value) if value is not None else None
