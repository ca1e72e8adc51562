"""Deadlines of connections: a connection is shut down at the deadline, and no other one in its place."""

import socket
from pathlib import Path

import pytest

from etl.socket_deadlines import Deadline, Duplicate

PATIENCE_SECONDS = 60


DESCRIPTORS = Path("/proc/self/fd")


def count_descriptors() -> int:
    return sum(1 for _ in DESCRIPTORS.iterdir())


def test_a_wait_ends_at_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.2) as deadline:
        ours.settimeout(PATIENCE_SECONDS)
        deadline.cover(Duplicate(ours.fileno()))
        assert ours.recv(1) == b""
        assert deadline.has_passed


def test_a_connection_covered_after_the_deadline_is_shut_down_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(PATIENCE_SECONDS) as deadline:
        deadline.end()
        ours.settimeout(PATIENCE_SECONDS)
        deadline.cover(Duplicate(ours.fileno()))
        assert ours.recv(1) == b""


def test_a_connection_that_got_the_number_of_a_closed_one_stays_open() -> None:
    closed, theirs = socket.socketpair()
    with theirs, Deadline(PATIENCE_SECONDS) as deadline:
        deadline.cover(Duplicate(closed.fileno()))
        number = closed.fileno()
        closed.close()
        others = socket.socketpair()
        with others[0], others[1]:
            assert number in [other.fileno() for other in others]
            deadline.end()
            others[0].sendall(b"x")
            assert others[1].recv(1) == b"x"


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="only Linux lists the descriptors of a process there")
def test_a_duplicate_is_closed_with_the_last_reference() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        before = count_descriptors()
        kept = Duplicate(ours.fileno())
        with Deadline(PATIENCE_SECONDS) as deadline:
            deadline.cover(kept)
            deadline.cover(Duplicate(ours.fileno()))
            deadline.end()
            assert count_descriptors() == before + 2
        assert count_descriptors() == before + 1
        del kept
        assert count_descriptors() == before
