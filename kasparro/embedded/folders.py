"""The folder of the embedded servers: made, closed to everybody else, and held by one starter at a time."""

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
    """Make the folder and hold its lock, which the kernel drops with its holder, however that one ends."""
    with explain_errors(folder):
        _prepare(home, folder)
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _prepare(home: Path, folder: Path) -> None:
    if not fits_socket(folder):
        raise EmbeddedError(
            f"The folder {folder} is too long a path for a unix socket (at most {SOCKET_PATH_BYTES} bytes with the"
            " socket's name): set KASPARRO_HOME to a shorter one, or set DATABASE_URL and REDIS_URL."
        )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder != home:
        _link(home, folder)
    _check_ours(folder)
    (folder / LOCK).touch()  # before anything else in it: it marks the folder as ours
    find_sockets(folder).mkdir(mode=0o700, exist_ok=True)
    for owned in (folder, find_sockets(folder)):
        owned.chmod(0o700)
        give(owned)


def _link(home: Path, folder: Path) -> None:
    """Make the folder that stands in for `home`, and keep the choice."""
    location = home / "location"
    if not location.is_symlink():
        reason = "is too long a path for a unix socket" if can_reach(home) else "is out of reach for their user"
        logger.warning("The embedded servers keep their data in %s: %s %s.", folder, home, reason)
        location.unlink(missing_ok=True)  # up to 0.1.0 it was a text file
    folder.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        location.symlink_to(folder)


def _check_ours(folder: Path) -> None:
    """It will be closed to everybody else: it must not be /tmp, or a home, that somebody named by mistake."""
    if folder.is_symlink() or folder.stat().st_uid not in (os.geteuid(), find_ids()[0]):
        raise EmbeddedError(f"The folder {folder} belongs to somebody else: remove it, or set KASPARRO_HOME.")
    if any(folder.iterdir()) and not (folder / LOCK).exists():
        raise EmbeddedError(f"The folder {folder} holds other files: set KASPARRO_HOME to one that is new or empty.")
