"""The project's settings, with the test's own folder for collected static files."""

import os
from pathlib import Path

from kasparro.settings import *  # noqa: F403

STATIC_ROOT = Path(os.environ["COLLECTED"])
