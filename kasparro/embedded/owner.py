"""The user that runs the embedded servers: ours, or `nobody` where we are root (PostgreSQL refuses to run as root)."""

import os
import pwd
import stat
from pathlib import Path
from typing import Any

SERVER_USER = "nobody"


def is_root() -> bool:
    return os.geteuid() == 0


def find_ids() -> tuple[int, int]:
    """User and group of the servers."""
    if not is_root():
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(SERVER_USER)
    return entry.pw_uid, entry.pw_gid


def give(path: Path) -> None:
    if is_root():
        os.chown(path, *find_ids())


def can_reach(folder: Path) -> bool:
    """Whether the servers can enter all parents of the folder; a user's own servers always can."""
    if not is_root():
        return True
    parents = [parent for parent in folder.resolve().parents if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in parents)


def run_as_owner(folder: Path) -> dict[str, Any]:
    """Arguments of `subprocess` that run a program as the servers' user, in this folder, with none of our secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "TMPDIR") if name in os.environ}
    arguments: dict[str, Any] = {"cwd": folder, "env": {**kept, "LC_ALL": "C"}, "umask": 0o077}
    if is_root():
        user, group = find_ids()
        arguments |= {"user": user, "group": group, "extra_groups": []}
    return arguments
