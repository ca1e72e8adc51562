"""Which refused records an operator means: by id, source, code, run, or all. Pure; who is open is asked elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.db.models import Q


@dataclass(frozen=True, slots=True)
class Selection:
    """What is given must hold together; nothing given means nothing unless `everything` says so (ValueError)."""

    ids: tuple[int, ...] = ()
    source: str = ""
    code: str = ""
    run: int | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if self.everything == bool(self.as_json()):
            raise ValueError("select by id, source, code or run, or else everything")

    def as_filter(self) -> Q:
        """The condition on rows of `etl_quarantine`."""
        wanted = {"pk__in": self.ids, "source": self.source, "code": self.code, "run_id": self.run}
        return Q(**{column: value for column, value in wanted.items() if value})

    def as_json(self) -> dict[str, Any]:
        """Only what is given."""
        given = {"ids": list(self.ids), "source": self.source, "code": self.code, "run": self.run}
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The reverse of `as_json`; nothing given was everything."""
        return cls(**{**given, "ids": tuple(given.get("ids", ()))}, everything=not given)
