"""`python -m tests.laws.crashes KILLS [--walk | --target] [--crash-seed N]`: kill runs at their PostgreSQL calls.

A round reads a new version of every record, replays the refused records, and reads everything again in full. Then it
reads a content that lacks some records: they are removed until the next round brings them back. SIGKILL ends each run's
process before or after one of its calls to PostgreSQL, or at a random moment. New processes take over until one of them
finishes the run. After each round the tables must show every version of every record once. With `--walk` the records
come from an API, a page for each batch, and no page is asked for again whose records have landed. With `--target` they
land in a team's own model: its table refuses those that lack a parent, and vanished ones are deleted from it.
"""

import argparse
import logging
import mmap
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import django

from etl.storage import driver
from kasparro.embedded import Servers
from sandbox.pages import PagedApi

RECORDS, BATCH, REFUSED_EVERY, LACKED_EVERY = 300, 20, 25, 4
BETWEEN, RANDOM = "between two steps", "at any moment"
CALLS = {"execute", "copy_expert", "write", "finish", "commit", "rollback", "close"}
"""The names of the methods of a driver's cursors, COPYs and connections that send something to the server."""

DRIVER = str(Path(str(sys.modules[driver.Error.__module__].__file__)).parent)
HELD = 75
"""The exit status of a process that found the source held, as by a killed one whose session has not ended yet."""
TRIES = 1_000
"""If this many processes can't finish a run, none will."""


@dataclass
class Killer:
    """Watches this process's calls to PostgreSQL, and kills the process before or after one of them.

    That call is the n-th one in `step`; `moment` is "before" or "after". The parent process reads the current step
    from `seen`.
    """

    steps: Mapping[Any, str]
    seen: mmap.mmap
    step: str
    moment: str
    countdown: int
    stack: list[str] = field(default_factory=lambda: [BETWEEN])

    def watch(self, frame: FrameType, event: str, argument: Any) -> None:
        """A function for `sys.setprofile`."""
        if event in ("call", "return") and frame.f_code in self.steps:
            if event == "call":
                self.stack.append(self.steps[frame.f_code])
            else:
                self.stack.pop()
            self._show(self.stack[-1])
        elif is_call_of_postgresql(argument if event in ("c_call", "c_return") else frame.f_code):
            self._meet("before" if event.endswith("call") else "after")

    def _meet(self, moment: str) -> None:
        if (self.stack[-1], moment) == (self.step, self.moment):
            self.countdown -= 1
            if self.countdown == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _show(self, step: str) -> None:
        self.seen[:32] = step.encode().ljust(32)


@dataclass
class Tally:
    """The effects of the kills. `unaccounted`: records that no run counts, plus the problems that `verify` finds.

    `repeated`: pages that were asked for again although their records had landed.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    unaccounted: int = 0
    repeated: int = 0

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.doubled or self.unaccounted or self.repeated)


class Crashes:
    """Runs of a source with a fixed list of records; the processes that execute them are killed."""

    def __init__(
        self, kills: int, chance: random.Random, api: PagedApi | None = None, *, has_target: bool = False
    ) -> None:
        self.most_kills, self.chance, self.api, self.has_target = kills, chance, api, has_target
        self.tally, self.round = Tally(), 0
        self.steps = find_steps()
        self.seen = mmap.mmap(-1, 32)

    @property
    def is_over(self) -> bool:
        return self.tally.kills.total() >= self.most_kills

    def play_round(self) -> None:
        """Land a new version of each record, then remove some, and count the records."""
        from etl.runs.options import Options
        from etl.storage.refusal_selection import Selection

        self.round += 1
        last = find_last_run()
        refused = RECORDS // REFUSED_EVERY
        self._come_through(Options(), refuses=True)
        self._count_runs(last, seen=RECORDS, new_or_updated=RECORDS - refused, quarantined=refused)
        last = find_last_run()
        if self.has_target:
            create_parent(self.round)
        self._come_through(Options(selection=Selection(everything=True)), refuses=False)
        self._count_runs(last, seen=refused, new_or_updated=refused, quarantined=0)
        self._come_through(Options(full=True), refuses=False)
        self._count_records()
        last = find_last_run()
        self._come_through(Options(), refuses=False, lacks=True)
        lacked = RECORDS // LACKED_EVERY
        self._count_runs(last, seen=RECORDS - lacked, new_or_updated=0, quarantined=0, removed=lacked)
        self._count_removed(lacked)

    def _come_through(self, options: Any, *, refuses: bool, lacks: bool = False) -> None:
        last = find_last_run()
        for _ in range(TRIES):
            source = self._make_source(refuses=refuses, lacks=lacks)
            landed = count_landed_pages()
            is_done = self._run_process(options, source, often="removal" if lacks else "batch")
            self._count_repeated(landed)
            # A process killed after its run has closed: another run would walk again, because no walk is unchanged.
            if is_done or (self.api is not None and is_through(last)):
                return
        raise RuntimeError(f"{TRIES} processes did not come through: {options}")

    def _make_source(self, *, refuses: bool, lacks: bool) -> Any:
        if self.has_target:
            return make_source_of_target(self.round, lacks=lacks)
        return make_source(self.round, refuses=refuses, lacks=lacks, api=self.api)

    def _run_process(self, options: Any, source: Any, *, often: str) -> bool:
        """Return True if the run finished, False if its process was killed, often in one of the steps."""
        from django.db import connections

        steps = [*sorted(set(self.steps.values())), BETWEEN, RANDOM, *[often] * 3]
        step, moment = self.chance.choice(steps), RANDOM
        if step != RANDOM:
            moment = self.chance.choice(("before", "after"))
        countdown, delay = self.chance.randint(1, 12), self.chance.random() * 0.4
        connections.close_all()
        self.seen[:32] = BETWEEN.encode().ljust(32)
        pid = os.fork()
        if pid == 0:
            killer = Killer(self.steps, self.seen, step, moment, 0 if self.is_over else countdown)
            execute(killer.watch, source, options)
        if step == RANDOM and not self.is_over:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            self.tally.kills[bytes(self.seen[:32]).decode().strip(), moment] += 1
            return False
        if os.WEXITSTATUS(status) == HELD:  # the server has not noticed yet that the process before was killed
            time.sleep(0.1)
            return False
        if os.WEXITSTATUS(status):
            raise RuntimeError(f"a run failed that nothing killed: {options}")
        return True

    def _count_repeated(self, landed: int) -> None:
        """Compare the pages that a process asked for with those that had landed before it."""
        if self.api is not None:
            self.tally.repeated += sum(find_page(request) < landed for request in self.api.requests)
            self.api.requests.clear()

    def _count_runs(self, last: int, *, seen: int, new_or_updated: int, quarantined: int, removed: int = 0) -> None:
        """Compare the counters of all runs after `last`, including killed runs, with the source's records."""
        from tests.listed_source import fetch

        (counted,) = fetch(
            "SELECT coalesce(sum(seen), 0), coalesce(sum(new + updated), 0), coalesce(sum(quarantined), 0),"
            " coalesce(sum(removed), 0),"
            " coalesce(sum(abs(seen - new - updated - unchanged - duplicate - quarantined)), 0)"
            " FROM etl_runs WHERE id > %s",
            last,
        )
        expected = (seen, new_or_updated, quarantined, removed, 0)
        self.tally.unaccounted += sum(abs(int(one) - other) for one, other in zip(counted, expected, strict=True))

    def _count_records(self) -> None:
        from etl.reports.verification import verify
        from tests.listed_source import fetch

        (landed,) = fetch(
            "SELECT count(DISTINCT external_id), count(*) FROM raw_records WHERE payload ->> 'price' = %s",
            str(self.round),
        )
        table, column = ("shop_thing", "price") if self.has_target else ("unified_records", "value")
        (kept,) = fetch(f"SELECT count(*) FROM {table} WHERE {column} = %s", self.round)
        self.tally.lost += (RECORDS - landed[0]) + max(0, RECORDS - kept[0])
        self.tally.doubled += (landed[1] - landed[0]) + max(0, kept[0] - RECORDS)
        self.tally.unaccounted += len(verify())

    def _count_removed(self, lacked: int) -> None:
        from etl.reports.verification import verify
        from tests.listed_source import fetch

        (removed,) = fetch(
            "SELECT count(*) FILTER (WHERE external_id::int %% %s = 0), count(*) FROM unified_records"
            " WHERE removed_at IS NOT NULL",
            LACKED_EVERY,
        )
        self.tally.lost += removed[1] - removed[0]
        if self.has_target:
            ((left,),) = fetch("SELECT count(*) FROM shop_thing")
            self.tally.lost += max(0, RECORDS - lacked - left)
            self.tally.doubled += max(0, left - RECORDS + lacked)
        self.tally.unaccounted += abs(lacked - removed[1]) + len(verify())


def is_call_of_postgresql(function: Any) -> bool:
    """Whether this is one of CALLS: the code of a method of psycopg 3, or psycopg2's method, which is written in C."""
    if isinstance(function, CodeType):
        return function.co_name in CALLS and function.co_filename.startswith(DRIVER)
    owner = type(getattr(function, "__self__", None))
    return getattr(function, "__name__", "") in CALLS and owner.__module__.startswith(("psycopg2", "django.db"))


def find_last_run() -> int:
    """The id of the newest run; 0 if there is none."""
    from etl.models import Run

    return Run.objects.order_by("-id").values_list("id", flat=True).first() or 0


def is_through(last: int) -> bool:
    """Whether a run after this one has finished."""
    from etl.models import Run

    return Run.objects.filter(id__gt=last, status__in=("success", "partial")).exists()


def count_landed_pages() -> int:
    """How many pages of the open walk have landed; 0 if none is open."""
    from etl.models import Checkpoint

    checkpoint = Checkpoint.objects.filter(is_reading=True, cursor__isnull=False).first()
    return int((checkpoint.cursor or {}).get("pages", 0)) if checkpoint is not None else 0


def find_page(request: str) -> int:
    """The index of the page that this request asks for."""
    return int(request.partition("cursor=t")[2] or 0)


def find_steps() -> dict[Any, str]:
    """The functions that make up the steps of a run, with each step's name."""
    from etl import landing, pipeline, removal, replay
    from etl.runs import ending, orders, starting

    return {
        starting.start_at_terminal.__code__: "claim",
        pipeline._compare.__code__: "look-up",
        replay._load_page.__code__: "look-up",
        landing._commit.__code__: "batch",
        landing._commit_page.__code__: "page of a replay",
        removal.count_vanished.__code__: "count what vanished",
        landing._commit_removal.__code__: "removal",
        ending.end.__code__: "close",
        orders.send_waiting_of.__code__: "send what waits",
    }


def make_source(version: int, *, refuses: bool, lacks: bool, api: PagedApi | None = None) -> Any:
    """A source whose records all have this version as their price, and come from this API if there is one.

    If `refuses`, its `unify` refuses some of them; if `lacks`, some are missing.
    """
    from etl.readers.source import Source
    from etl.records import Breach, UnifiedFields
    from etl.sources import JsonApiSource, LinkHeader
    from etl.vocabulary import BreachCode
    from tests.listed_source import Listed, make_item

    class Refusing(Source):
        complete = True

        def unify(self, values: Mapping[str, Any]) -> UnifiedFields | Breach:
            if refuses and int(values["id"]) % REFUSED_EVERY == 0:
                return Breach(BreachCode.TOO_LONG, "name is refused", "name")
            return Source.unify(self, values)

    records = [make_item(number, price=version) for number in list_numbers(lacks=lacks)]
    if api is None:
        return type("Refusing", (Refusing, Listed), {})(records)
    api.pages = [records[start : start + BATCH] for start in range(0, len(records), BATCH)]
    names = ("name", "every", "contract", "unified", "gates")
    declared = {name: getattr(Listed, name) for name in names}
    place = {"base_url": api.url, "endpoint": "/link", "pages": LinkHeader()}
    return type("Walking", (Refusing, JsonApiSource), declared | place)()


def list_numbers(*, lacks: bool) -> list[int]:
    return [number for number in range(1, RECORDS + 1) if not lacks or number % LACKED_EVERY]


def make_source_of_target(version: int, *, lacks: bool) -> Any:
    """The same records for a team's own model; some belong to a category that `create_parent` creates."""
    from tests.listed_source import make_item
    from tests.shop.sources import CompleteThings

    return CompleteThings(
        [
            make_item(number, price=version, group=f"v{version}" if number % REFUSED_EVERY == 0 else "first")
            for number in list_numbers(lacks=lacks)
        ]
    )


def create_parent(version: int | str) -> None:
    from tests.shop.models import Category

    Category.objects.create(slug=f"v{version}" if isinstance(version, int) else version)


def execute(watch: Callable[..., None], source: Any, options: Any) -> None:
    """Run the source in this process, then exit: with status 0 if the run finished, HELD if it could not start yet."""
    from etl.execution.executor import execute_here
    from etl.supervision.os_signals import Interruption
    from etl.vocabulary import Reason, Status

    status = 1
    try:
        sys.setprofile(watch)
        outcome = execute_here(source, options, interruption=Interruption(), report=lambda progress: None)
        sys.setprofile(None)
        status = int(outcome.status not in (Status.SUCCESS, Status.PARTIAL))
        if outcome.reason == Reason.HELD:
            status = HELD
        elif status:
            print(outcome, file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


@contextmanager
def set_up() -> Iterator[None]:
    """Start servers with an empty database, set up Django on them, and remove them afterwards."""
    home = Path(tempfile.mkdtemp(prefix="kasparro-crashes-"))
    servers = Servers(home)
    try:
        home.chmod(0o711)  # lets the servers' user reach folders in it
        servers.start()
        os.environ |= {
            "DEBUG": "true",
            "DATABASE_URL": servers.database_url(),
            "REDIS_URL": servers.redis_url(),
            "ETL_BATCH_SIZE": str(BATCH),
            "DJANGO_SETTINGS_MODULE": "tests.shop.settings",
        }
        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        settings.DEBUG = False  # in debug mode Django keeps every statement in memory
        logging.disable(logging.WARNING)
        let_walks_land_early()
        call_command("migrate", run_syncdb=True, verbosity=0)
        create_parent("first")
        yield
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


def let_walks_land_early() -> None:
    """Judge few records before the first batch, so that most pages are asked for between two batches."""
    from etl import first_records
    from etl.readers import walk

    for module in (first_records, walk):
        setattr(module, "FIRST_RECORDS", 2 * BATCH)  # noqa: B010  (the modules only import it)


def show(tally: Tally, rounds: int) -> None:
    moments = ("before", "after", RANDOM)
    print(f"\n{'kills by step':<20}{'before a call':>15}{'after a call':>15}{RANDOM:>15}{'all':>8}")
    for step in sorted({step for step, _ in tally.kills}):
        counts = [tally.kills[step, moment] for moment in moments]
        print(f"{step:<20}{counts[0]:>15,}{counts[1]:>15,}{counts[2]:>15,}{sum(counts):>8,}")
    print(f"\n{tally.kills.total():,} kills in {rounds:,} rounds of {RECORDS:,} records")
    pages = f", pages asked for again {tally.repeated:,}" if tally.repeated else ""
    print(f"lost {tally.lost:,}, doubled {tally.doubled:,}, unaccounted {tally.unaccounted:,}{pages}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.laws.crashes")
    parser.add_argument("kills", type=int, help="how many processes to kill")
    parser.add_argument("--walk", action="store_true", help="read the records from an API, page by page")
    parser.add_argument("--crash-seed", type=int, default=None, help="choose the same moments as an earlier run")
    parser.add_argument("--target", action="store_true", help="land the records in a team's own model")
    options = parser.parse_args(arguments)
    seed = options.crash_seed if options.crash_seed is not None else secrets.randbelow(2**32)
    print(f"crash seed {seed}", flush=True)
    with set_up(), PagedApi([[]]) if options.walk else nullcontext() as api:
        chance, shown = random.Random(seed), time.monotonic()
        crashes = Crashes(options.kills, chance, api, has_target=options.target)
        while not crashes.is_over and crashes.tally.is_sound:
            crashes.play_round()
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                print(f"{crashes.tally.kills.total():,} of {options.kills:,} kills", flush=True)
    show(crashes.tally, crashes.round)
    return not crashes.tally.is_sound


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that no server stays
    sys.exit(main(sys.argv[1:]))
