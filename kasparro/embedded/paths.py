"""Where the folders and sockets of the embedded servers are; it only computes, and makes nothing."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from kasparro.embedded.owner import can_reach

SOCKET_PATH_BYTES = 103  # the shortest limit of the systems we know (macOS; Linux allows 107)
POSTGRESQL_SOCKET = ".s.PGSQL.5432"  # PostgreSQL's own name for it, the longer of the two
VALKEY_SOCKET = "valkey.sock"


def locate(home: Path) -> Path:
    """`home` itself, unless its servers could not work there: then a folder of its own under /var/tmp."""
    with suppress(OSError):
        return home / (home / "location").readlink()
    if can_reach(home) and fits_socket(home):
        return home
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(f"/var/tmp/kasparro-{os.geteuid()}-{digest}")  # noqa: S108  (owner and mode are checked)


def fits_socket(folder: Path) -> bool:
    return len(os.fsencode(find_sockets(folder) / POSTGRESQL_SOCKET)) <= SOCKET_PATH_BYTES


def find_sockets(folder: Path) -> Path:
    """The folder of both sockets."""
    return folder / "run"
