"""A run's options, beyond bringing its source up to date, as stored in `etl_runs.options`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from etl.storage.refusal_selection import Selection


@dataclass(frozen=True, slots=True)
class Options:
    """`full`: read everything again. `selection`: replay these refused records, for the user with this id.

    `from_raw`: after the replay, judge the present records again from their raw rows.
    """

    full: bool = False
    selection: Selection | None = None
    user: int | None = None
    from_raw: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether any other plain run of the source does the same."""
        return self == Options()

    def as_json(self) -> dict[str, Any]:
        """Return only the options that are set; empty for a plain run."""
        selection = self.selection.as_json() if self.selection is not None else None
        given = {"full": self.full or None, "selection": selection, "user": self.user}
        given |= {"from_raw": self.from_raw or None}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Reverse `as_json`."""
        selection = Selection.from_json(given["selection"]) if "selection" in given else None
        return cls(bool(given.get("full")), selection, given.get("user"), bool(given.get("from_raw")))


PLAIN = Options()
