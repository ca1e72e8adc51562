"""`manage.py`, but it stops itself (SIGSTOP) once: `python -m tests.freezing PLACE ARGUMENTS`.

Places: between_batches and inside_copy of a run; between_sources and inside_request of a sweep, whose lease is short.
"""

import os
import signal
import sys
import types
from collections.abc import Iterator

import django

sys.path.pop(0)  # the tests' folder, whose `api` would hide the project's
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
django.setup()

from django.core.management import execute_from_command_line  # noqa: E402

from etl import pipeline  # noqa: E402
from etl.execution import sweep  # noqa: E402
from etl.runs import orders  # noqa: E402
from etl.storage import bulk_copy as copy  # noqa: E402

place, *arguments = sys.argv[1:]
FREEZE_AT = 4 if place in ("between_batches", "inside_copy") else 2
met = 0


def freeze_once() -> None:
    global met  # noqa: PLW0603
    met += 1
    if met == FREEZE_AT:
        os.kill(os.getpid(), signal.SIGSTOP)


join_blocks = copy._join_blocks


def freeze_in_blocks(lines: Iterator[str]) -> Iterator[bytes]:
    """Blocks that stop the process when COPY has read some of them."""
    for block in join_blocks(lines):
        freeze_once()
        yield block


def freeze_before(module: types.ModuleType, name: str) -> None:
    """Freeze once when this function is called."""
    function = getattr(module, name)

    def freeze_and_call(*args: object, **kwargs: object) -> object:
        freeze_once()
        return function(*args, **kwargs)

    setattr(module, name, freeze_and_call)


if place == "inside_copy":
    copy._join_blocks, copy.BLOCK_LINES = freeze_in_blocks, 1
elif place == "between_batches":
    freeze_before(pipeline, "_compare")
else:
    sweep.LEASE_SECONDS = 2
    freeze_before(*((sweep, "queue_due") if place == "between_sources" else (orders, "_insert")))

execute_from_command_line(["manage.py", *arguments])
