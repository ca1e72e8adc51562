"""Laws of the servers' folder: where it is, who owns it, and the message if it can't be created."""

import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kasparro.embedded import Servers
from tests.kasparro.homes import (
    COUNT_KEPT,
    DURABLE_ROW,
    SHELL,
    STRANGER,
    find_pid,
    list_servers,
    manage,
    mode_of,
    needs_root,
    run_sql,
)
from tests.processes import ROOT, end_processes

USER = next(user.pw_uid for user in pwd.getpwall() if user.pw_uid not in (0, os.getuid(), STRANGER))  # ordinary


def check_elsewhere(home: Path, reason: str) -> None:
    """The servers work in the target of home/location, and only the first command says so."""
    first = manage(home, "servers", "start")
    folder = (home / "location").readlink()
    assert first.returncode == 0
    assert folder.parent == Path("/var/tmp")
    assert first.stderr.count("\n") == 1
    assert f"The embedded servers keep their data in {folder}, because the path {home} {reason}." in first.stderr
    assert mode_of(folder) == 0o700
    run_sql(Servers(home), DURABLE_ROW)
    second = manage(home, *SHELL, COUNT_KEPT)
    assert (second.stdout, second.stderr) == ("1\n", "")
    assert list_servers(folder) == ["postgres", "valkey-server"]


def test_a_home_too_long_for_a_socket_works_elsewhere(home: Path) -> None:
    check_elsewhere(home / ("long" * 25), "is too long for a unix socket")


@needs_root
def test_a_home_that_the_servers_can_not_reach_works_elsewhere(home: Path) -> None:
    home.chmod(0o700)
    check_elsewhere(home / "inner", "can't be reached by the servers' user")


def test_a_location_too_long_for_a_socket_is_reported_in_one_line(home: Path) -> None:
    (home / "location").symlink_to(home / ("long" * 25))
    done = manage(home, "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is too long for a unix socket (at most 103 bytes" in done.stderr


def test_a_home_that_can_not_be_created_is_reported_in_one_line(home: Path) -> None:
    (home / "file").touch()
    done = manage(home / "file" / "inner", "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Not a directory. Set KASPARRO_HOME to another folder" in done.stderr


@pytest.fixture
def mount(home: Path) -> Iterator[list[str]]:
    """Options for a small disk at home/disk; mounted by `mount_disk`."""
    (home / "disk").mkdir()
    yield []
    end_processes(home)
    subprocess.run(["umount", str(home / "disk")], capture_output=True, check=False)


@needs_root
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("size=64m", "PostgreSQL needs 200 MiB of free disk space in"),
        ("size=400m,nr_inodes=3", "No space left on device"),
        ("size=400m,nr_inodes=100", "No space left on device"),
        ("size=400m,nr_inodes=1300", "No space left on device"),
    ],
    ids=["bytes", "files-for-folders", "files-for-programs", "files-for-data"],
)
def test_a_full_disk_is_reported_in_one_line(home: Path, mount: list[str], options: str, sentence: str) -> None:
    disk = home / "disk"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{options},mode=755", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk could be mounted: {mounted.stderr.decode().strip()}")
    done = manage(disk / "home", "servers", "start")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert sentence in done.stderr


MAKE_REACHABLE = """
set -e
shelter=$1 closed=$2 python=$3 user=$4; shift 4
if [ -n "$closed" ]; then
    mount --bind "$python" "$shelter"
    mount -t tmpfs -o mode=755 tmpfs "$closed"
    mkdir -p "$python"
    mount --bind "$shelter" "$python"
fi
exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"""


@pytest.fixture
def as_user(home: Path) -> list[str]:
    """The prefix of a command that runs it as an ordinary user.

    If that user can't reach Python, the command runs in its own mount namespace, with an open folder in place of the
    closed one.
    """
    python = Path(sys.base_prefix)
    if any(not parent.stat().st_mode & stat.S_IXOTH for parent in (ROOT, *ROOT.parents, *Path(sys.prefix).parents)):
        pytest.skip(f"an ordinary user can't reach {ROOT}")
    closed = [str(parent) for parent in reversed(python.parents) if not parent.stat().st_mode & stat.S_IXOTH]
    shelter = home / "python"
    shelter.mkdir()
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MAKE_REACHABLE, "sh"]
    prefix += [str(shelter), *(closed[:1] or [""]), str(python), str(USER)]
    tried = subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"an ordinary user can't reach Python: {tried.stderr.strip()}")
    return prefix


@needs_root
def test_everything_works_the_same_for_a_normal_user(home: Path, as_user: list[str]) -> None:
    folder = home / "user"
    folder.mkdir()
    os.chown(folder, USER, USER)
    mine = folder / "home"
    started = manage(mine, "servers", "start", prefix=as_user)
    servers = Servers(mine)
    pids = [find_pid(server) for server in servers.list_used()]
    assert (started.stderr, started.returncode) == ("", 0)
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {USER}
    assert {mode_of(path) for path in (mine, mine / "run", *(server.socket for server in servers.list_used()))} == {
        0o700
    }
    run_sql(servers, DURABLE_ROW)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    counted = manage(mine, *SHELL, COUNT_KEPT, prefix=as_user)
    assert (counted.stdout, counted.stderr) == ("1\n", "")
    stopped = manage(mine, "servers", "stop", prefix=as_user)
    assert (stopped.stderr, stopped.returncode) == ("", 0)
    assert list_servers(mine) == []


@needs_root
def test_a_normal_user_does_not_take_over_the_folder_of_another(home: Path, as_user: list[str]) -> None:
    inner = home / "inner"
    inner.mkdir(mode=0o755)
    os.chown(inner, STRANGER, STRANGER)
    done = manage(inner, "servers", "start", prefix=as_user)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "belongs to another user" in done.stderr
