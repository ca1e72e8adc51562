"""The operations on refused records: to replay or discard them."""

import logging
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from kombu.exceptions import OperationalError as BrokerError

from etl import messages
from etl.clock import as_utc
from etl.exceptions import NotFound, NotPossible
from etl.fence.counts import count_opened
from etl.fence.locking import PATIENT_ATTEMPTS, CheckpointLocked, lock_checkpoint
from etl.models import QuarantinedRecord, Run
from etl.runs import orders
from etl.runs.open_reads import find_open_read
from etl.runs.options import Options
from etl.sources.registry import find_source
from etl.storage.refusal_selection import Selection
from etl.storage.refusals import discard_open, filter_open, filter_replayable
from etl.storage.transactions import retry_transient
from etl.vocabulary import QuarantineStatus, Status, Trigger

logger = logging.getLogger(__name__)

DISCARD_TASK = "etl.tasks.discard"
DISCARD_ROWS = 2000
"""Number of rows in one transaction. No batch of the source lands during it."""

REPLAYABLE = (QuarantineStatus.OPEN, QuarantineStatus.GONE)

_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


def list_sources_of(selection: Selection) -> list[str]:
    """Return the sources with open records of the selection. Raises NotFound or NotPossible for other ids."""
    _require(selection.ids, (QuarantineStatus.OPEN,))
    return list(filter_open(selection).order_by("source").values_list("source", flat=True).distinct())


def list_replayed_sources(selection: Selection) -> list[str]:
    """Return the sources with records that a replay of the selection takes. Raises NotFound or NotPossible."""
    _require(selection.ids, REPLAYABLE)
    rows = QuarantinedRecord.objects.filter(selection.as_filter())
    names = {
        name for status in REPLAYABLE for name in rows.filter(status=status).values_list("source", flat=True).distinct()
    }
    return [name for name in sorted(names) if _takes_any(selection, name)]


def _takes_any(selection: Selection, source_name: str) -> bool:
    source = find_source(source_name)
    digest = source.digest() if source is not None else ""
    return filter_replayable(selection, source_name, digest).exists()


def replay(selection: Selection, *, by: str, user_id: int | None = None) -> list[Run]:
    """Queue a run for each source with records that the replay takes. It is not an error if there is no source.

    `by` names the requester, for the event log; `user_id` is stored with the records that land. Raises NotFound or
    NotPossible.
    """
    options = Options(selection=selection, user=user_id)
    sources = list_replayed_sources(selection)
    for source in sources:
        require_no_stuck_read(source)
    return [orders.queue(source, trigger=Trigger.REPLAY, by=by, options=options) for source in sources]


def require_no_stuck_read(source: str) -> None:
    """Raise NotPossible if a read of the source is open that no queued or running run will finish."""
    opened = find_open_read(source)
    if opened is not None and not opened.is_awaited:
        raise NotPossible(opened.describe_obstacle())


def describe_waits(runs: Iterable[Run]) -> str:
    """Say which of these replays must wait for an open read of their source; empty if none must."""
    found = (find_open_read(name) for name in dict.fromkeys(run.source for run in runs))
    return " ".join(opened.describe_wait() for opened in found if opened is not None)


def replay_one(record_id: int, *, by: str, user_id: int | None = None) -> Run:
    """Queue a run for one open or gone record. Repeating the request before it is replayed returns the same run.

    Raises NotFound or NotPossible.
    """
    _require((record_id,), REPLAYABLE)
    record = QuarantinedRecord.objects.get(pk=record_id)
    require_no_stuck_read(record.source)
    options = Options(selection=Selection(ids=(record_id,)), user=user_id)
    key = f"replay:{record_id}:{(as_utc(record.updated_at) - _YEAR_ONE) // timedelta(microseconds=1)}"
    while True:
        run = orders.queue(record.source, key=key, trigger=Trigger.REPLAY, by=by, options=options)
        if run.status != Status.FAILED:
            return run
        key = f"{key}:{run.pk}"  # the failed run did not reach the record, so another one may be queued


def discard(selection: Selection, *, by: str, user_id: int | None = None) -> int:
    """Discard the open records of the selection permanently. Returns their number. Raises NotFound or NotPossible."""
    count = 0
    for source in list_sources_of(selection):
        while discarded := _discard_some(selection, source, user_id):
            count += discarded
    logger.info("%d refused records were discarded by %s", count, by)
    return count


def discard_later(selection: Selection, *, by: str, user_id: int) -> None:
    """Have a worker discard the selection, if it has too many records for one request. Raises NotPossible.

    Only a message holds the request: if it is lost, the records stay open and can be discarded again.
    """
    try:
        messages.send(DISCARD_TASK, selection.as_json(), by, user_id)
    except (BrokerError, OSError) as error:
        raise NotPossible("No worker can be reached now: Redis does not respond. Nothing was discarded.") from error


def count_open(selection: Selection, *, most: int) -> int:
    """Count the open records of the selection, up to `most`."""
    return filter_open(selection)[:most].count()


def discard_one(record_id: int, *, by: str, user_id: int | None = None) -> QuarantinedRecord:
    """Discard one open record. Raises NotFound or NotPossible."""
    discard(Selection(ids=(record_id,)), by=by, user_id=user_id)
    return QuarantinedRecord.objects.get(pk=record_id)


def _discard_some(selection: Selection, source: str, user_id: int | None) -> int:
    try:
        for attempt in retry_transient(time.sleep):
            with attempt:
                discarded = _discard_page(selection, source, user_id)
    except CheckpointLocked as error:
        raise NotPossible(f"Records of {source} can't be discarded just now: {error}.") from error
    return discarded


def _discard_page(selection: Selection, source: str, user_id: int | None) -> int:
    # Locks the checkpoint first, like every batch, so no replay is in the middle of these rows.
    with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS) as cursor:
        discarded = discard_open(cursor, selection, source, user_id=user_id, most=DISCARD_ROWS)
        count_opened(cursor, source, -discarded)
        return discarded


def _require(ids: tuple[int, ...], statuses: Collection[QuarantineStatus]) -> None:
    found = dict(QuarantinedRecord.objects.filter(pk__in=ids).values_list("pk", "status"))
    for record_id in ids:
        if record_id not in found:
            raise NotFound(f"There is no quarantined record {record_id}.")
        if found[record_id] not in statuses:
            raise NotPossible(f"Record {record_id} is {found[record_id]} already.")
