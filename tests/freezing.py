"""A `manage.py` that stops itself (SIGSTOP) once: `python -m tests.freezing between_batches|inside_copy ARGUMENTS`."""

import io
import os
import signal
import sys
import types

import django

sys.path.pop(0)  # the tests' folder, whose `api` would hide the project's
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")
django.setup()

from django.core.management import execute_from_command_line  # noqa: E402

from etl import pipeline  # noqa: E402
from etl.storage import bulk_copy as copy  # noqa: E402

FREEZE_AT = 4
place, *arguments = sys.argv[1:]
met = 0


def freeze_once() -> None:
    global met  # noqa: PLW0603
    met += 1
    if met == FREEZE_AT:
        os.kill(os.getpid(), signal.SIGSTOP)


class FreezingText(io.StringIO):
    """Text that stops the process when COPY has read a part of it."""

    def read(self, size: int | None = -1) -> str:
        text = super().read(min(size or 100, 100) if size and size > 0 else size)
        if self.tell() > 100:
            freeze_once()
        return text


if place == "inside_copy":
    setattr(copy, "io", types.SimpleNamespace(StringIO=FreezingText))  # noqa: B010
else:
    prepare = pipeline._prepare

    def prepare_and_freeze(*args: object) -> object:
        freeze_once()
        return prepare(*args)  # type: ignore[arg-type]

    pipeline._prepare = prepare_and_freeze  # type: ignore[assignment]

execute_from_command_line(["manage.py", *arguments])
