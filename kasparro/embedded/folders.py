"""The folder of the embedded servers: creates it, closes it to other users and locks it for one process at a time."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kasparro.embedded.errors import EmbeddedError, explain_errors
from kasparro.embedded.owner import can_reach, find_ids, give
from kasparro.embedded.paths import SOCKET_PATH_BYTES, find_sockets, fits_socket

LOCK = "start.lock"

logger = logging.getLogger(__name__)


@contextmanager
def hold(home: Path, folder: Path) -> Iterator[None]:
    """Create the folder and hold its lock. The kernel releases the lock when its holder ends, even after kill -9."""
    with explain_errors(folder):
        _prepare(home, folder)
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _prepare(home: Path, folder: Path) -> None:
    if not fits_socket(folder):
        raise EmbeddedError(
            f"The path of the folder {folder} is too long for a unix socket (at most {SOCKET_PATH_BYTES} bytes,"
            " including the socket's name). Set KASPARRO_HOME to a shorter path, or set DATABASE_URL and REDIS_URL."
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder != home:
        _link(home, folder)
    _check_ownership(folder)
    (folder / LOCK).touch()  # the first file in the folder: `_check_ownership` recognises the folder by it
    find_sockets(folder).mkdir(mode=0o700, exist_ok=True)
    for owned in (folder, find_sockets(folder)):
        owned.chmod(0o700)
        give(owned)


def _link(home: Path, folder: Path) -> None:
    """Create the folder that replaces `home`, and link to it from `home`."""
    location = home / "location"
    if not location.is_symlink():
        reason = "is too long for a unix socket" if can_reach(home) else "can't be reached by the servers' user"
        logger.warning("The embedded servers keep their data in %s, because the path %s %s.", folder, home, reason)
        location.unlink(missing_ok=True)  # a text file up to version 0.1.0
    folder.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        location.symlink_to(folder)


def _check_ownership(folder: Path) -> None:
    """Refuse a folder such as /tmp or a user's home, set by mistake: it would be closed to all other users."""
    if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), find_ids()[0]):
        raise EmbeddedError(f"The folder {folder} belongs to another user. Remove it, or set KASPARRO_HOME.")
    if any(folder.iterdir()) and not (folder / LOCK).exists():
        raise EmbeddedError(f"The folder {folder} contains other files. Set KASPARRO_HOME to a new or empty folder.")
