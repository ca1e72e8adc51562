"""The user of the embedded servers: the current one, or `nobody` if that is root, as whom PostgreSQL refuses to run."""

import os
import pwd
import stat
from pathlib import Path
from typing import Any

SERVER_USER = "nobody"


def is_root() -> bool:
    return os.geteuid() == 0


def find_ids() -> tuple[int, int]:
    """Return the ids of the servers' user and group."""
    if not is_root():
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(SERVER_USER)
    return entry.pw_uid, entry.pw_gid


def give(path: Path) -> None:
    if is_root():
        os.chown(path, *find_ids())


def can_reach(folder: Path) -> bool:
    """Return whether the servers' user can enter all parents of the folder; always true unless root starts them."""
    if not is_root():
        return True
    parents = [parent for parent in folder.resolve().parents if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in parents)


def run_as_owner(folder: Path) -> dict[str, Any]:
    """Return arguments for `subprocess` that run a program in `folder` as the servers' user, without our secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in os.environ}
    arguments: dict[str, Any] = {"cwd": folder, "env": {**kept, "LC_ALL": "C"}, "umask": 0o077}
    if is_root():
        user, group = find_ids()
        arguments |= {"user": user, "group": group, "extra_groups": []}
    return arguments
