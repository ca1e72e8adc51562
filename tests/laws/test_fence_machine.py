"""After any sequence of claims, batches, crashes and frozen workers, each record that was read has landed once."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from etl import landing
from etl.change_detection import Stored, classify
from etl.exceptions import LeaseLost, Overtaken
from etl.fence import reads
from etl.fence.claims import Claim, Holder
from etl.fence.reads import Read, ReadEnd
from etl.models import Checkpoint, Run
from etl.reports.verification import verify
from etl.runs import ending, starting
from etl.runs.options import Options
from etl.runs.starting import Started
from etl.storage.ledger import find_stored
from etl.vocabulary import ReadOutcome, SourceKind, Status
from tests.listed_source import Listed, dump_landed, dump_quarantine, dump_raw, fetch, judge_all, make_item
from tests.shop.sources import Things

CONTENT = [
    *map(make_item, "abc"),
    make_item("a", name="a again"),
    make_item("x", price="nothing"),
    *map(make_item, "de"),
    make_item("d", name="d again"),
    make_item("f"),
]
IDS = list("abcdef")
BATCH = 2
MOMENTS = st.integers(0, 3)


@dataclass
class Worker:
    started: Started
    read: Read

    @property
    def position(self) -> int:
        return int(self.read.cursor["position"]) if self.read.cursor else 0

    @property
    def claim(self) -> Claim:
        return self.started.claim


class FenceMachine(RuleBasedStateMachine):
    """Models the owner of the source, whether its lease is alive, and the position of the open read."""

    kind: ClassVar[type[Listed]] = Listed

    def __init__(self) -> None:
        super().__init__()
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE etl_runs, etl_run_events, etl_run_keys, ingestion_checkpoints, etl_reads, etl_read_marks,"
                " raw_api_data, unified_records, etl_quarantine, shop_thing CASCADE"
            )
        self.source = self.kind(CONTENT)
        self.workers: list[Worker] = []
        self.owner: Worker | None = None
        self.is_lease_alive = False
        self.position = 0
        self.seen = 0

    @rule(is_full=st.booleans())
    def claim(self, is_full: bool) -> None:
        started = starting.start_at_terminal("listed", Options(full=is_full))
        if self.is_lease_alive:
            assert isinstance(started, Holder)
            return
        assert isinstance(started, Started)
        # A plain run reads here as well; another test checks that unchanged content is skipped.
        read = reads.choose_read(started.checkpoint, "content", is_full=started.is_full)
        self.owner = Worker(started, read)
        self.workers.append(self.owner)
        self.is_lease_alive = True
        # Another read begins with its first batch: until then the open one stays, for a run that wants no other.
        assert self.owner.position == (self.position if read.is_begun else 0)

    @rule(number=MOMENTS)
    def land_a_batch(self, number: int) -> None:
        if not self.workers:
            return
        worker = self.workers[number % len(self.workers)]
        records = CONTENT[worker.position : worker.position + BATCH]
        if not records:
            self.close(worker)
            return
        if worker is self.owner and self.is_lease_alive:
            worker.read = self.deliver(worker, records)
            self.position = worker.position
            self.seen += len(records)
        else:
            with pytest.raises((Overtaken, LeaseLost)):
                self.deliver(worker, records)

    def deliver(self, worker: Worker, records: list[dict[str, Any]]) -> Read:
        first = worker.position + 1
        judged = judge_all(self.source, records, first=first)
        known = find_stored(
            self.source,
            judged,
            read_number=worker.read.number,
            read_sequence=worker.read.first_sequence,
        )
        reached = {"position": worker.position + len(records)}
        batch = classify(judged, Stored(known))
        return landing.land(worker.claim, self.source, worker.read, batch, reached=reached, wait=lambda s: None)

    def close(self, worker: Worker) -> None:
        end = ReadEnd(worker.read, SourceKind.API, {}, True, True, False, ReadOutcome.ACCEPTED)
        if worker is self.owner and self.is_lease_alive:
            ending.end(worker.claim, ending.finished(Status.SUCCESS), read_end=end)
            self.owner, self.is_lease_alive = None, False
            self.position = 0
            self.workers.remove(worker)
        else:
            with pytest.raises((Overtaken, LeaseLost)):
                ending.end(worker.claim, ending.finished(Status.SUCCESS), read_end=end)

    @rule()
    def freeze_the_owner(self) -> None:
        """It stays in `workers` and resumes later, unaware of the freeze."""
        Checkpoint.objects.filter(owner_run__isnull=False).update(lease_expires_at="2000-01-01T00:00:00Z")
        self.is_lease_alive = False

    @rule()
    def crash_the_owner(self) -> None:
        """Its session is gone, but its lease is still alive."""
        if self.owner is not None and self.is_lease_alive:
            Checkpoint.objects.update(owner_backend_start="2000-01-01T00:00:00Z")
            self.workers.remove(self.owner)
            self.owner, self.is_lease_alive = None, False

    @invariant()
    def what_landed_is_what_was_read(self) -> None:
        assert verify() == []
        ((seen,),) = fetch("SELECT coalesce(sum(seen), 0)::int FROM etl_runs")
        assert seen == self.seen
        names = {row[0]: row[1] for row in dump_landed(self.source)}
        assert set(names.values()) <= {"Thing"}  # the first record with an id counts
        assert [row[0] for row in dump_raw("listed")] == IDS[: len(names)]
        assert len(dump_quarantine("listed")) <= 1

    @invariant()
    def at_most_one_run_is_running(self) -> None:
        assert Run.objects.filter(status="running").count() <= 1


class MachineOfTarget(FenceMachine):
    """The records land in a team's own model."""

    kind = Things


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("machine", "examples"), [(FenceMachine, 40), (MachineOfTarget, 15)])
def test_any_story_of_claims_batches_crashes_and_freezes_lands_each_record_once(
    machine: type[FenceMachine], examples: int
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        ),
    )
