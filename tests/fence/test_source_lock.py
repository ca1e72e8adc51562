"""Laws of the Redis lock, tested with a real Valkey: it is advisory, and never fails a run."""

import logging
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis
from django.conf import settings as run_settings
from pytest_django.fixtures import Settings

from etl.fence.redis_lock import SourceLock
from tests.processes import wait_until

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def client(started_servers: None) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(run_settings.REDIS_URL) as connected:
        yield connected


@pytest.fixture
def source(client: redis.Redis) -> Iterator[str]:
    """A name of a source that only this test uses."""
    name = f"source-{uuid.uuid4().hex}"
    yield name
    client.delete(key_of(name))


def key_of(source: str) -> str:
    return f"{run_settings.REDIS_KEY_PREFIX}lock:{source}"


def hold(source: str, seconds: float = 30) -> SourceLock:
    lock = SourceLock(source, seconds)
    lock.hold()
    return lock


def test_a_lock_is_held_with_a_token_of_its_own(client: redis.Redis, source: str) -> None:
    first, second = hold(source), hold(source + "-other")
    tokens = client.mget(key_of(source), key_of(source + "-other"))
    second.release()
    first.release()
    assert None not in tokens
    assert tokens[0] != tokens[1]


def test_a_lock_ends_by_itself_after_its_seconds(client: redis.Redis, source: str) -> None:
    lock = hold(source, seconds=3)
    assert 0 < client.pttl(key_of(source)) <= 3000
    wait_until(lambda: not client.exists(key_of(source)))
    lock.release()


def test_holding_again_renews_the_time_and_keeps_its_token(client: redis.Redis, source: str) -> None:
    lock = hold(source)
    token = client.get(key_of(source))
    client.pexpire(key_of(source), 10_000)
    lock.hold()
    assert client.pttl(key_of(source)) > 20_000
    assert client.get(key_of(source)) == token
    lock.release()


def test_a_lock_that_was_flushed_is_taken_again(client: redis.Redis, source: str) -> None:
    lock = hold(source)
    client.delete(key_of(source))
    lock.hold()
    assert client.exists(key_of(source))
    lock.release()
    assert not client.exists(key_of(source))


def test_the_owner_of_the_lease_takes_the_lock_over(client: redis.Redis, source: str) -> None:
    former = hold(source)
    token = client.get(key_of(source))
    successor = hold(source)
    assert client.get(key_of(source)) not in (None, token)
    successor.release()
    former.release()


def test_releasing_frees_the_source(client: redis.Redis, source: str) -> None:
    hold(source).release()
    assert not client.exists(key_of(source))


def test_a_lock_of_another_process_is_not_released(client: redis.Redis, source: str) -> None:
    former = hold(source)
    successor = hold(source)
    token = client.get(key_of(source))
    former.release()
    assert client.get(key_of(source)) == token
    successor.release()


def test_releasing_a_lock_that_was_never_held_does_nothing(
    client: redis.Redis, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    holder = hold(source)
    SourceLock(source, 30).release()
    assert client.exists(key_of(source))
    assert caplog.messages == []
    holder.release()


def _answer_in_another_language(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            with listener.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.fixture(params=["closed port", "no socket", "no such host", "silent server", "no redis"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Redis that can't be used."""
    if request.param == "no socket":
        yield "unix:///tmp/there-is-no-valkey-here.sock?db=0"
    elif request.param == "no such host":
        yield "redis://:a-password@host.invalid:6379/0"
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            if request.param == "closed port":
                listener.close()
            elif request.param == "no redis":
                threading.Thread(target=_answer_in_another_language, args=(listener,), daemon=True).start()
            yield f"redis://:a-password@127.0.0.1:{port}/0"


def test_without_redis_there_is_one_warning_and_no_error(
    unreachable: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = unreachable
    lock, begin = SourceLock("coins", 30), time.monotonic()
    lock.hold()
    lock.hold()
    lock.release()
    assert time.monotonic() - begin < 8  # two waits of 1 s; with the default retries of redis-py, eight and pauses
    assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "etl.fence.redis_lock")]
    assert "coins runs without its lock" in caplog.text
    assert "a-password" not in caplog.text


def test_a_lock_is_held_again_once_redis_is_back(
    client: redis.Redis, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    lock = hold(source)
    client.client_pause(5000)  # in ms; longer than the lock's patience
    lock.hold()
    client.delete(key_of(source))  # answered after the pause
    lock.hold()
    assert client.exists(key_of(source))
    assert len(caplog.records) == 1
    lock.release()
