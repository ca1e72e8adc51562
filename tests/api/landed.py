"""Rows of each kind, landed by real runs."""

from dataclasses import dataclass

from etl.models import JudgedRead, QuarantinedRecord, Run, SchemaChange, UnifiedRecord
from etl.runs import orders
from etl.runs.options import Options
from etl.vocabulary import Trigger
from tests.listed_source import Listed, fetch, ingest_here, make_item

SOURCE = Listed.name


@dataclass(frozen=True)
class Landed:
    """One row of each kind, by id."""

    record: int
    run: int
    queued: int
    snapshot: int
    change: int
    refused: int
    read: int

    def fill(self, route: str) -> str:
        """The address of a route, with `{pk}` replaced by the id of an existing row."""
        kind = route.removeprefix("/api/v1/").split("/")[0]
        row = {
            "data": self.record,
            "runs": self.queued if route.endswith("cancel") else self.run,
            "schema-snapshots": self.snapshot,
            "schema-changes": self.change,
            "quarantine": self.refused,
            "reads": self.read,
        }.get(kind, "")
        address = route.replace("{pk}", str(row))
        needed = {"changes": f"?source={SOURCE}", "compare-runs": f"?run_a={self.run}&run_b={self.run}"}
        return address + needed.get(kind, "")


def land() -> Landed:
    """Land two records and refuse one, then add a field, which is drift; hold the last read; and queue a run."""
    source = Listed([make_item(1), make_item(2), make_item(3, price="free")])
    ingest_here(source)
    source.records = [make_item(1, colour="red"), make_item(2, colour="blue"), make_item(3, price="free", colour="x")]
    ingest_here(source)
    queued = orders.queue(SOURCE, key="waiting", trigger=Trigger.API, by="a test", options=Options(full=True))
    held = JudgedRead.objects.latest("id")
    JudgedRead.objects.filter(pk=held.pk).update(outcome="held", verdict=[{"gate": "shrunken", "message": "A test."}])
    return Landed(
        record=UnifiedRecord.objects.earliest("id").pk,
        run=Run.objects.exclude(pk=queued.pk).latest("id").pk,
        queued=queued.pk,
        snapshot=fetch("SELECT max(id) FROM schema_snapshots")[0][0],
        change=SchemaChange.objects.latest("id").pk,
        refused=QuarantinedRecord.objects.latest("id").pk,
        read=held.pk,
    )
