"""A run's options, beyond bringing its source up to date, as stored in `etl_runs.options`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from etl.http.since import Bounds
from etl.storage.refusal_selection import Selection


@dataclass(frozen=True, slots=True)
class Options:
    """`full`: read everything again. `selection`: replay these refused records, for the user with this id.

    `from_raw`: after the replay, judge the present records again from their raw rows. `window`: fetch what has changed
    within these bounds again.
    """

    full: bool = False
    selection: Selection | None = None
    user: Any = None
    from_raw: bool = False
    window: Bounds | None = None

    @property
    def is_plain(self) -> bool:
        """Whether any other plain run of the source does the same."""
        return self == Options()

    def as_json(self) -> dict[str, Any]:
        """Return only the options that are set; empty for a plain run."""
        selection = self.selection.as_json() if self.selection is not None else None
        given: dict[str, Any] = {"full": self.full or None, "selection": selection, "user": self._write_user()}
        given |= {"from_raw": self.from_raw or None}
        if self.window is not None:
            given |= {"since": _write(self.window.since), "until": _write(self.window.until)}
        return {name: value for name, value in given.items() if value is not None}

    def _write_user(self) -> Any:
        """Return an id that JSON has: a project's user model may have others, such as UUIDs."""
        return self.user if self.user is None or isinstance(self.user, int) else str(self.user)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Reverse `as_json`."""
        selection = Selection.from_json(given["selection"]) if "selection" in given else None
        since, until = (_read(given.get(name)) for name in ("since", "until"))
        window = Bounds(since, until) if since is not None else None
        return cls(bool(given.get("full")), selection, given.get("user"), bool(given.get("from_raw")), window)


def _write(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


PLAIN = Options()
