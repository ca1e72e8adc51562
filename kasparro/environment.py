"""Reads environment variables with types, and collects all mistakes instead of stopping at the first.

Only settings.py uses it. A wrong value is replaced by the default and recorded as a `Problem`, which
`manage.py check`, and so every command and wsgi.py, reports with an id and a hint.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import environ
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from etl.conf import Setting, parse_boolean

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Problem:
    """An environment variable with a value that can't be used."""

    name: str
    complaint: str
    hint: str


@dataclass(slots=True)
class Environment:
    """The process environment, read with types; `problems` lists the values that can't be used."""

    variables: environ.Env = field(default_factory=environ.Env)
    problems: list[Problem] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        """Return the value without surrounding blanks. An empty variable counts as unset."""
        # Not variables.str(), which treats a value that begins with $ as the name of another variable.
        return str(self.variables.ENVIRON.get(name, "")).strip() or default

    def boolean(self, name: str, *, default: bool) -> bool:
        return self._parsed(name, default, parse_boolean, "Use on or off.")

    def whole(self, name: str, default: int, *, least: int) -> int:
        def parse(text: str) -> int:
            return _at_least(least, int(text))

        return self._parsed(name, default, parse, f"Use a whole number, {least} or more.")

    def read(self, setting: Setting[Value]) -> Value:
        """Return a setting of the pipeline or the API: the variable of that name, or the setting's default."""
        return self._parsed(
            setting.name, setting.default, setting.parse, setting.hint, may_be_secret=setting.may_be_secret
        )

    def items(self, name: str, default: list[str]) -> list[str]:
        """Split a comma-separated list; blanks around items and empty items are dropped."""
        return [item.strip() for item in self.text(name).split(",") if item.strip()] or default

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        return self._parsed(
            name, default, dict(zip(choices, choices, strict=True)).__getitem__, f"Use {' or '.join(choices)}."
        )

    def people(self, name: str) -> list[tuple[str, str]]:
        """Parse names with mail addresses, `Ann <ann@example.org>, bob@example.org`; empty if unset."""

        def parse(text: str) -> list[tuple[str, str]]:
            return [_parse_person(item.strip()) for item in text.split(",") if item.strip()]

        return self._parsed(name, [], parse, "Use, for example, Ann <ann@example.org>, bob@example.org.")

    def _parsed(
        self, name: str, default: Value, parse: Callable[[str], Value], hint: str, *, may_be_secret: bool = False
    ) -> Value:
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except (ValueError, TypeError, KeyError, OverflowError, ValidationError):
            shown = "" if may_be_secret else f"={text!r}"
            self.problems.append(Problem(name, f"{name}{shown} can't be used", hint))
            return default


def _parse_person(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"(?:([^<>]*)<([^<>]+)>|([^<>]+))", text)
    if found is None:
        raise ValueError
    name, address = (found[1] or "").strip(), (found[2] or found[3]).strip()
    validate_email(address)
    return name, address


Number = TypeVar("Number", int, float)


def _at_least(least: Number, number: Number) -> Number:
    if not least <= number < float("inf"):
        raise ValueError
    return number
