"""The project's settings, with a folder of the test's own for collected static files."""

import os
from pathlib import Path

from kasparro.settings import *  # noqa: F403

STATIC_ROOT = Path(os.environ["COLLECTED"])
