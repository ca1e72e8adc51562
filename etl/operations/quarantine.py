"""What operators may do with refused records: replay them, or discard them."""

import logging
import time
from datetime import UTC, datetime, timedelta

from celery import current_app
from kombu.exceptions import OperationalError as BrokerError

from etl.exceptions import NotFound, NotPossible
from etl.fence.counts import count_discarded
from etl.fence.locking import PATIENT_ATTEMPTS, CheckpointLocked, lock_checkpoint
from etl.models import QuarantinedRecord, Run
from etl.runs import orders
from etl.runs.options import Options
from etl.storage.refusals import discard_open, filter_open
from etl.storage.selection import Selection
from etl.storage.transactions import retry_transient
from etl.vocabulary import QuarantineStatus, Status, Trigger

logger = logging.getLogger(__name__)

DISCARD_TASK = "etl.tasks.discard"
DISCARD_ROWS = 2000
"""In one transaction: so long no batch of the source lands."""

_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


def list_sources_of(selection: Selection) -> list[str]:
    """The sources that have open records of the selection. Raises NotFound or NotPossible for ids that are not open."""
    _require_open(selection.ids)
    return list(filter_open(selection).order_by("source").values_list("source", flat=True).distinct())


def replay(selection: Selection, *, by: str, user_id: int | None = None) -> list[Run]:
    """Queue a run for each source that has open records of the selection; none is no error.

    `by` says who asks, for the audit log; `user_id` is kept with what lands. Raises NotFound or NotPossible.
    """
    options = Options(selection=selection, user=user_id)
    return [
        orders.queue(source, trigger=Trigger.REPLAY, by=by, options=options) for source in list_sources_of(selection)
    ]


def replay_one(record_id: int, *, by: str, user_id: int | None = None) -> Run:
    """Queue a run for one open record; asking again while nothing has come of it gives the same run.

    Raises NotFound or NotPossible.
    """
    record = _find_open(record_id)
    options = Options(selection=Selection(ids=(record_id,)), user=user_id)
    key = f"replay:{record_id}:{(record.updated_at - _YEAR_ONE) // timedelta(microseconds=1)}"
    while True:
        run = orders.queue(record.source, key=key, trigger=Trigger.REPLAY, by=by, options=options)
        if run.status != Status.FAILED:
            return run
        key = f"{key}:{run.pk}"  # that one never got to the record: it may be asked for once more


def discard(selection: Selection, *, by: str, user_id: int | None = None) -> int:
    """Put the open records of the selection away, for good; how many. Raises NotFound or NotPossible."""
    count = 0
    for source in list_sources_of(selection):
        while discarded := _discard_some(selection, source, user_id):
            count += discarded
    logger.info("%d refused records were discarded by %s", count, by)
    return count


def discard_later(selection: Selection, *, by: str, user_id: int) -> None:
    """Have a worker discard the selection: for more than a request has time for. Raises NotPossible.

    The message is all there is: if it is lost, the records stay open and can be discarded again.
    """
    try:
        current_app.send_task(DISCARD_TASK, args=[selection.as_json(), by, user_id], retry=False)
    except (BrokerError, OSError) as error:
        raise NotPossible("No worker can be told just now: Redis does not answer. Nothing was discarded.") from error


def count_open(selection: Selection, *, most: int) -> int:
    """How many open records the selection has, counted up to `most`."""
    return filter_open(selection)[:most].count()


def discard_one(record_id: int, *, by: str, user_id: int | None = None) -> QuarantinedRecord:
    """Put one open record away. Raises NotFound or NotPossible."""
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
    # The checkpoint is locked first, as by every batch: no replay is in the middle of these rows.
    with lock_checkpoint(source, attempts=PATIENT_ATTEMPTS) as cursor:
        discarded = discard_open(cursor, selection, source, user_id=user_id, most=DISCARD_ROWS)
        count_discarded(cursor, source, discarded)
        return discarded


def _find_open(record_id: int) -> QuarantinedRecord:
    _require_open((record_id,))
    return QuarantinedRecord.objects.get(pk=record_id)


def _require_open(ids: tuple[int, ...]) -> None:
    found = dict(QuarantinedRecord.objects.filter(pk__in=ids).values_list("pk", "status"))
    for record_id in ids:
        if record_id not in found:
            raise NotFound(f"There is no quarantined record {record_id}.")
        if found[record_id] != QuarantineStatus.OPEN:
            raise NotPossible(f"Record {record_id} is {found[record_id]} already.")
