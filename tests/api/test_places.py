"""Places in a window: taken from Redis several at once, but never more than the limit by all processes together."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import limits
import pytest
from limits.storage import RedisStorage

from api.access import places
from etl.http import rate_limits
from kasparro.embedded import Servers

LIMIT = "1200/day"
"""As many places as by default, in a window that does not end during a test."""


class Process:
    """What one web process knows and asks: its own connection to Redis, and the requests that it sent."""

    def __init__(self, servers: Servers) -> None:
        limiter = rate_limits.make_limiter(limits.strategies.FixedWindowRateLimiter, servers.redis_url(), "test", 5)
        self.storage: Any = limiter.storage
        self.asked = 0
        self._count("incr")
        self._count("get_expiry")

    def _count(self, name: str) -> None:
        ask: Callable[..., Any] = getattr(self.storage, name)

        def ask_and_count(*arguments: Any, **options: Any) -> Any:
            self.asked += 1
            return ask(*arguments, **options)

        setattr(self.storage, name, ask_and_count)

    def take(self, limit: str) -> bool:
        return places.take(self.storage, limits.parse(limit), "somebody")


@pytest.fixture
def start(valkey: Servers) -> Callable[[], Process]:
    return lambda: Process(valkey)


def test_a_process_lets_exactly_the_limit_pass_and_asks_for_few_places(start: Callable[[], Process]) -> None:
    process = start()
    assert isinstance(process.storage, RedisStorage)
    assert sum(process.take(LIMIT) for _ in range(100)) == 100
    assert process.asked == 10
    assert sum(process.take(LIMIT) for _ in range(1000)) == 1000
    assert process.asked < 400
    assert sum(process.take(LIMIT) for _ in range(200)) == 100


def test_processes_and_threads_together_let_exactly_the_limit_pass(start: Callable[[], Process]) -> None:
    processes = [start() for _ in range(3)]

    def take(number: int) -> bool:
        return processes[number % 3].take(LIMIT)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(3000))) == 1200
    assert [process.take(LIMIT) for process in processes] == [False] * 3


def test_a_process_that_joins_a_window_soon_asks_for_few_places(start: Callable[[], Process]) -> None:
    first, second = start(), start()
    assert all(first.take(LIMIT) for _ in range(300))
    assert all(second.take(LIMIT) for _ in range(100))
    assert second.asked < 30


def test_a_client_is_refused_early_only_for_the_places_that_other_processes_hold(start: Callable[[], Process]) -> None:
    """Two processes hold places for which no request comes any more: each at most a hundredth."""
    processes = [start() for _ in range(3)]
    for process in processes[:2]:
        assert all(process.take(LIMIT) for _ in range(2))
    passed = 4 + sum(processes[2].take(LIMIT) for _ in range(1200))
    assert 1200 - 2 * 12 <= passed < 1200


@pytest.mark.parametrize("joins", [False, True])
def test_places_held_at_the_end_of_a_window_are_void(start: Callable[[], Process], joins: bool) -> None:
    """Also where another process opened the window, whose end is known only to the second."""
    limit, process = "1000/4 second", start()
    if joins:
        assert start().take(limit)
    assert all(process.take(limit) for _ in range(3))
    time.sleep(4.1)
    asked = process.asked
    assert process.take(limit)
    assert process.asked > asked
    item = limits.parse(limit)
    assert process.storage.get(item.key_for("somebody")) == 1


def test_few_places_are_taken_one_by_one(start: Callable[[], Process]) -> None:
    process = start()
    assert [process.take("150/day") for _ in range(151)] == [True] * 150 + [False]
    assert process.asked == 151


def test_clients_have_windows_of_their_own(start: Callable[[], Process]) -> None:
    process, item = start(), limits.parse(LIMIT)
    for client in ("one", "other"):
        assert sum(places.take(process.storage, item, client) for _ in range(1300)) == 1200
