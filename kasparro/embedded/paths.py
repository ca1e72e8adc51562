"""The paths of the embedded servers' folders and sockets. It only computes them and creates nothing."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from kasparro.embedded.owner import can_reach

SOCKET_PATH_BYTES = 103  # macOS; Linux allows 107
POSTGRESQL_SOCKET = ".s.PGSQL.5432"  # chosen by PostgreSQL; the longer of the two names
VALKEY_SOCKET = "valkey.sock"


def locate(home: Path) -> Path:
    """Return `home` itself, or a folder under /var/tmp if the servers could not work in `home`."""
    with suppress(OSError):
        return home / (home / "location").readlink()
    if can_reach(home) and fits_socket(home):
        return home
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(f"/var/tmp/kasparro-{os.geteuid()}-{digest}")  # noqa: S108  (owner and mode are checked)


def fits_socket(folder: Path) -> bool:
    return len(os.fsencode(find_sockets(folder) / POSTGRESQL_SOCKET)) <= SOCKET_PATH_BYTES


def find_sockets(folder: Path) -> Path:
    """Return the folder of both sockets."""
    return folder / "run"
