"""`python -m tests.laws.mistakes [WORD]` makes all mistakes, or those whose name contains the word."""

import signal
import sys
from types import FrameType
from typing import NoReturn

from tests.laws.mistakes import MISTAKES
from tests.laws.seeding import prove


def end(number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that no server stays."""
    sys.exit(128 + number)


signal.signal(signal.SIGTERM, end)
word = sys.argv[1] if len(sys.argv) > 1 else ""
sys.exit(not prove([mistake for mistake in MISTAKES if word in mistake.name]))
