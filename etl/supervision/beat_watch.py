"""Reports that a project's beat is alive, whatever its scheduler. No decision depends on it."""

import threading
import time
from typing import Any

from etl.supervision import liveness
from etl.supervision.sweep_watch import SWEEP_TASK

LOOK_SECONDS = 2


class BeatWatch:
    """Reports from a thread for as long as the scheduler ticks in time.

    A scheduler sleeps between two ticks until an entry is due, which may be minutes, and says for how long. After its
    last tick, and while it hangs in one, beat counts as alive only for a while.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler, self._tick, self._close = scheduler, scheduler.tick, scheduler.close
        self._name = liveness.BEAT
        self._alive_until = 0.0
        self._ended = threading.Event()
        self._reporter = threading.Thread(target=self._report, name="beat watch", daemon=True)
        scheduler.tick, scheduler.close = self.tick, self.close

    def tick(self, *args: object, **kwargs: object) -> float | None:
        """Take the place of the scheduler's own method, which sends what is due and returns the seconds to sleep."""
        self._expect_tick(0)
        seconds: float | None = self._tick(*args, **kwargs)
        self._expect_tick(seconds or 0)
        self._name = liveness.BEAT if self._sends_sweep() else liveness.IDLE_BEAT
        if not self._reporter.is_alive() and not self._ended.is_set():
            self._reporter.start()
        return seconds

    def close(self) -> None:
        """Take the place of the scheduler's own method, which is called when beat ends."""
        self._ended.set()
        if self._reporter.is_alive():
            self._reporter.join(2 * liveness.PATIENCE_SECONDS)
        self._close()
        for name in liveness.BEATS:
            liveness.sign_off(name)

    def _expect_tick(self, seconds: float) -> None:
        self._alive_until = time.monotonic() + seconds + liveness.ALIVE_SECONDS

    def _sends_sweep(self) -> bool:
        """Whether the schedule has the sweep, which queues all due runs. Other schedulers don't read the database's."""
        return any(entry.task == SWEEP_TASK for entry in self._scheduler.schedule.values())

    def _report(self) -> None:
        is_ended = False
        while not is_ended:
            if time.monotonic() < self._alive_until:
                liveness.sign(self._name)
            is_ended = self._ended.wait(LOOK_SECONDS)
