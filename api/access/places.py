"""Places in the throttle's windows. Each web process takes several at once, so that few requests wait for Redis.

A process takes at most a hundredth of the places that are left and keeps them until the window ends. So all processes
together never let more requests pass than the limit, and the last places of a window are taken one by one. A client may
be refused while another process still holds places that it has not used.
"""

import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache

from limits import RateLimitItem
from limits.storage import Storage

SHARE = 100
FEWEST = 2 * SHARE
"""With fewer places left than this, a process takes only one of them."""

MOST_CLIENTS = 10_000
"""With more clients than this, a process forgets the places of the one that has been silent for longest."""

ROUNDING_SECONDS = 0.5
"""Redis rounds the rest of a window to seconds, so a window may end this much earlier or later than it says."""


@dataclass(slots=True)
class _Window:
    """What this process knows of a client's window: its end (seconds since 1970), its count and the places held."""

    ends_at: float = 0
    counted: int = 0
    held: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def use_held(self, now: float) -> bool:
        """Use a place that this process holds. Returns False if it holds none."""
        with self.lock:
            is_held = self.held > 0 and now < self.ends_at
            self.held -= is_held
            return is_held

    def begin(self, ends_at: float, now: float) -> None:
        """Begin the window that ends then, unless another thread has done so."""
        with self.lock:
            if self.ends_at <= now:
                self.ends_at, self.held = ends_at, 0

    def hold(self, places: int, counted: int, ends_at: float) -> None:
        """Hold these places, unless the window in which they were taken is over."""
        with self.lock:
            self.counted = counted
            if self.ends_at == ends_at:
                self.held += places


def take(storage: Storage, item: RateLimitItem, client: str) -> bool:
    """Take a place in the client's window. Returns False if the window is full. Raises StorageError."""
    key = item.key_for(client)
    if item.amount < FEWEST:
        return storage.incr(key, item.get_expiry()) <= item.amount
    window, now = _find_window(storage, key), time.time()
    if window.use_held(now):
        return True
    ends_at = window.ends_at
    size = max(1, (item.amount - window.counted) // SHARE) if now < ends_at else 1
    counted = storage.incr(key, item.get_expiry(), amount=size)
    places = min(size, item.amount - (counted - size))
    if places <= 0:
        return False
    if counted == size:  # this request has opened the window
        window.begin(now + item.get_expiry(), now)
    elif now >= ends_at + 2 * ROUNDING_SECONDS and item.amount - counted >= FEWEST:
        window.begin(storage.get_expiry(key) - ROUNDING_SECONDS, now)
    window.hold(places - 1, counted, ends_at)
    return True


@lru_cache(MOST_CLIENTS)
def _find_window(storage: Storage, key: str) -> _Window:
    return _Window()
