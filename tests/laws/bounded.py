"""Checks during tests that etl writes and locks rows only in transactions with time limits on their waits."""

import re
import sys
from collections.abc import Callable
from typing import Any

from etl.storage.transactions import Preface
from tests.processes import ROOT

ETL, TESTS = str(ROOT / "etl") + "/", str(ROOT / "tests") + "/"
_WRITES = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|LOCK|TRUNCATE|WITH\b.*\b(?:INSERT|UPDATE|DELETE))\b"
    r"|.*\bFOR (?:NO KEY )?UPDATE\b|.*\bpg_advisory_(?:xact_)?lock\b",
    re.IGNORECASE | re.DOTALL,
)
_BOUNDS = re.compile(
    r"SET LOCAL lock_timeout = '[1-9].*SET LOCAL idle_in_transaction_session_timeout = '[1-9]", re.DOTALL
)


class UnboundedWait(AssertionError):
    """etl sent a statement that could wait, or block other sessions, forever."""


class BoundedWaits:
    """An `execute_wrapper` for one connection."""

    def __init__(self) -> None:
        self.bounded: Any = None
        """The outermost atomic block that has set its timeouts."""

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        connection = context["connection"]
        outermost = connection.atomic_blocks[0] if connection.atomic_blocks else None
        if any(isinstance(each, Preface) and _BOUNDS.search(each.text) for each in connection.execute_wrappers):
            self.bounded = outermost
        elif (
            isinstance(sql, str)
            and _WRITES.match(sql)
            and is_of_etl()
            and (outermost is None or outermost is not self.bounded)
        ):
            raise UnboundedWait(f"not in a bounded_transaction: {sql[:200]}")
        return execute(sql, params, many, context)


def is_of_etl() -> bool:
    """Whether the current statement comes from etl and not from a test."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ETL):
            # The web process writes the admin log; its sessions have timeouts.
            return not name.startswith((f"{ETL}migrations/", f"{ETL}admin/"))
        if name.startswith(TESTS) and name != __file__:
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False
