"""The project's settings, with a folder of the test's own for collected static files."""

import os

from kasparro.settings import *  # noqa: F403

STATIC_ROOT = os.environ["COLLECTED"]
