"""Finds the servers' programs: in their wheels, or for root in a copy that the servers' user can read.

The packages are located by their metadata and never imported, because production has neither of them.
"""

import shutil
import stat
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from kasparro.embedded.errors import EmbeddedError
from kasparro.embedded.owner import is_root


def find_programs(folder: Path, package: str, parts: Sequence[str]) -> Path:
    """Return the folder that holds these parts of a package: site-packages, or for root a copy in `folder`."""
    wheel = _find_wheel(package)
    installed = Path(str(wheel.locate_file(""))).resolve()
    if not is_root():
        return installed
    copy = folder / f"{package}-{wheel.version}"
    if not copy.exists():
        _copy(installed, parts, copy)
    return copy


def _find_wheel(package: str) -> Distribution:
    try:
        return distribution(package)
    except PackageNotFoundError:
        raise EmbeddedError(
            f"{package} is not installed. Run pip install -r requirements-dev.txt, or set DATABASE_URL and REDIS_URL."
        ) from None


def _copy(installed: Path, parts: Sequence[str], copy: Path) -> None:
    """Copy the parts completely or not at all, readable by every user who can enter the folder."""
    draft = copy.with_name(f"{copy.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for part in parts:
        shutil.copytree(installed / part, draft / part, symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    draft.rename(copy)
