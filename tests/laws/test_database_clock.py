"""Law 7: no decision depends on the clock of a process."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.fence import claims
from etl.storage.transactions import bounded_transaction
from tests.processes import ROOT
from tests.single_steps import start

CLOCKS = {
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"),
    *("django.utils.timezone.now", "django.utils.timezone.localtime", "django.utils.timezone.localdate"),
}
"""`time.monotonic` is missing on purpose: it measures waits within a process."""

MAY_LOOK = {
    "etl/http/retries.py": "a server says until when to wait; what comes of it is a number of seconds",
    "etl/http/attempt.py": "the same: a server says when its limit is reset",
    "etl/http/rate_limits.py": "Redis counts; what comes of it is a number of seconds",
    "etl/exceptions.py": "the same wait, as a number of seconds",
    "etl/admin/runs.py": "shows how long a run has taken so far",
}


def find_clocks(code: str) -> Iterator[str]:
    """The clocks that this code uses, including under another name."""
    tree = ast.parse(code)
    meanings = dict(list_imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name, _, rest = ast.unparse(node).partition(".")
            meaning = ".".join(filter(None, (meanings.get(name, name), rest)))
            if meaning in CLOCKS:
                yield meaning


def list_imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                if alias.asname or module:
                    yield alias.asname or alias.name, module + alias.name


def list_modules() -> list[Path]:
    return sorted((ROOT / "etl").rglob("*.py"))


@pytest.mark.parametrize("path", list_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_of_the_pipeline_looks_at_its_own_clock(path: Path) -> None:
    may_look = str(path.relative_to(ROOT)) in MAY_LOOK
    assert bool(list(find_clocks(path.read_text()))) == may_look


@pytest.mark.parametrize(
    "code",
    [
        "import datetime\ndatetime.datetime.now()",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\ndatetime.now",
        "from datetime import datetime as moment\nmoment.utcnow()",
        "from django.utils import timezone\ntimezone.now()",
        "from django.utils.timezone import now as n\nn()",
        "import time\ntime.time()",
        "from time import time\ntime()",
    ],
)
def test_a_clock_is_found_under_any_name(code: str) -> None:
    assert len(list(find_clocks(code))) == 1


@pytest.mark.parametrize("code", ["import time\ntime.monotonic()", "from etl.clock import NOW\nNOW"])
def test_what_measures_a_wait_is_no_clock(code: str) -> None:
    assert list(find_clocks(code)) == []


@pytest.mark.django_db(transaction=True)
def test_a_lease_counts_from_when_it_is_given_however_long_its_transaction_has_lasted() -> None:
    claim = start().claim
    with bounded_transaction() as cursor:
        cursor.execute("SELECT pg_sleep(0.01)")
        claims.renew(cursor, claim)
        cursor.execute(
            "SELECT lease_expires_at > now() + %s * interval '1 second' FROM ingestion_checkpoints",
            [claim.lease_seconds],
        )
        assert cursor.fetchone() == (True,)
