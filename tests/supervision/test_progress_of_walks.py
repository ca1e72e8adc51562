"""A walk whose pages come keeps its source, however long they take together."""

import time

from etl.fence.claims import Claim
from etl.fence.redis_lock import SourceLock
from etl.supervision.lease import Lease
from etl.supervision.os_signals import Interruption
from etl.supervision.run_context import RunContext


def test_before_each_page_the_batch_deadline_starts_again() -> None:
    context = RunContext(Lease(Claim("things", 1, 1, 60), SourceLock("things", 60)), Interruption())
    time.sleep(0.01)
    left = context.seconds_left
    context.note_page()
    assert context.seconds_left > left
