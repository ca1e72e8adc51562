"""The only writer of `schema_snapshots` and `schema_changes`; writes in the fenced transaction that ends a read."""

from collections.abc import Mapping

from etl.clock import NOW
from etl.contracts.contract import Contract
from etl.drift import Change, Shape, Snapshot, compare, find_new_spellings
from etl.models import SchemaChange, SchemaSnapshot
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import ChangeKind


def write_snapshot(
    source: str, run_id: int, shape: Shape, contract: type[Contract], *, is_delta: bool = False
) -> tuple[list[Change], Mapping[str, str]]:
    """Judge a read's shape, and store its changes since the last snapshot with the next one.

    Without changes nothing is written, and a read without records is not judged. The first read writes snapshot 1.
    Returns the changes, and the declared names of fields that have another name since this snapshot.
    """
    if not shape.records:
        return [], {}
    last = SchemaSnapshot.objects.filter(source=source).order_by("-number").first()
    former = Snapshot.from_json(last.shape) if last is not None else None
    snapshot, changes = compare(shape, former, contract, is_delta=is_delta)
    if last is None:
        SchemaSnapshot.objects.create(source=source, number=1, run_id=run_id, shape=snapshot.as_json())
    elif changes:
        following = SchemaSnapshot.objects.create(
            source=source, number=last.number + 1, run_id=run_id, shape=snapshot.as_json()
        )
        SchemaChange.objects.bulk_create(
            SchemaChange(
                source=source,
                run_id=run_id,
                snapshot_before=last,
                snapshot_after=following,
                path=change.path,
                kind=change.kind,
                before=change.before,
                after=change.after,
            )
            for change in changes
        )
    elif former is not None:
        return [], {}
    return changes, find_new_spellings(shape, former, contract)


def find_changes(run_id: int) -> list[Change]:
    """Return the changes that the reads of this run have brought."""
    changes = SchemaChange.objects.filter(run_id=run_id).order_by("pk")
    return [Change(row.path, ChangeKind(row.kind), row.before, row.after) for row in changes]


def find_fields(source: str) -> frozenset[str]:
    """Return the field paths of the source's newest snapshot; none if there is no snapshot."""
    last = SchemaSnapshot.objects.filter(source=source).order_by("-number").first()
    return frozenset(last.shape["fields"]) if last is not None else frozenset()


def acknowledge_change(change_id: int, user_id: int) -> SchemaChange | None:
    """Acknowledge the change for this user, unless it is acknowledged already. Returns it, or None if it is unknown."""
    unacknowledged = SchemaChange.objects.filter(pk=change_id, acknowledged_at=None)
    with bounded_transaction():
        unacknowledged.update(acknowledged_by_id=user_id, acknowledged_at=NOW)
    return SchemaChange.objects.filter(pk=change_id).first()
