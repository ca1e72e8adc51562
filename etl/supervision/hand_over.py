"""A run in a worker hands over between two batches when its task's time is up or its worker is to stop."""

import time

from etl.conf import conf
from etl.exceptions import HandedOver
from etl.supervision import shutdown
from etl.supervision.lease import Lease
from etl.supervision.os_signals import Interruption
from etl.supervision.run_context import RunContext

LOOK_SECONDS = 0.2
"""How often a waiting task checks whether its worker is to stop."""


class TaskContext(RunContext):
    """The context of a run in a worker, which hands over when its task's time is up or its worker is to stop."""

    def __init__(self, lease: Lease, interruption: Interruption) -> None:
        super().__init__(lease, interruption)
        self._ends_at = time.monotonic() + conf.ETL_TASK_SECONDS

    @property
    def max_wait_seconds(self) -> float:  # type: ignore[override]
        """The seconds left of the task's time."""
        return max(0.0, self._ends_at - time.monotonic())

    def wait(self, seconds: float) -> None:
        if seconds > self.max_wait_seconds:
            raise HandedOver(f"Waiting {seconds:.0f} s, which is longer than the task's time.", seconds)
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self._hand_over_if_stopping()
            super().wait(min(left, LOOK_SECONDS))

    def note_batch(self) -> None:
        super().note_batch()
        self.end_task_if_due()

    def end_task_if_due(self) -> None:
        self._hand_over_if_stopping()
        if not self.max_wait_seconds:
            raise HandedOver(f"The task's time (ETL_TASK_SECONDS={conf.ETL_TASK_SECONDS:g}) is up.")

    def _hand_over_if_stopping(self) -> None:
        if shutdown.has_begun():
            raise HandedOver("The worker stops.")
