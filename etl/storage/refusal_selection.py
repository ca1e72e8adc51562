"""Selects refused records, by what they are or wait for, or all. Pure; refusals.py checks which are open or gone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.db.models import Q

from etl.vocabulary import QuarantineStatus


@dataclass(frozen=True, slots=True)
class Selection:
    """The records that match all given criteria, or `everything`. Raises ValueError for neither or both.

    `gone`: only records that their source no longer sends. `awaits`: only those that wait for one of these rows.
    """

    ids: tuple[int, ...] = ()
    source: str = ""
    code: str = ""
    run: int | None = None
    gone: bool = False
    awaits: tuple[str, ...] = ()
    everything: bool = False

    def __post_init__(self) -> None:
        if self.everything == bool(self.as_json()):
            raise ValueError("select by id, source, code, run, gone or awaits, or select everything")

    def as_filter(self) -> Q:
        """Return the condition on rows of `etl_quarantine`."""
        status = QuarantineStatus.GONE if self.gone else None
        wanted: dict[str, Any] = {
            "pk__in": self.ids,
            "source": self.source,
            "code": self.code,
            "run_id": self.run,
            "status": status,
        }
        wanted |= {"awaits__in": self.awaits}
        return Q(**{column: value for column, value in wanted.items() if value})

    def as_json(self) -> dict[str, Any]:
        """Return only the given criteria."""
        given: dict[str, Any] = {"ids": list(self.ids), "source": self.source, "code": self.code}
        given |= {"run": self.run, "gone": self.gone, "awaits": list(self.awaits)}
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Reverse `as_json`; no criteria mean everything."""
        lists = {"ids": tuple(given.get("ids", ())), "awaits": tuple(given.get("awaits", ()))}
        return cls(**{**given, **lists}, everything=not given)
