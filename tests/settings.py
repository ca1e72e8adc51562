"""The project's settings for a test run: as in development, but with separate servers and a separate folder."""

import os
import secrets
from pathlib import Path

os.environ.setdefault("DEBUG", "true")
# Contains all files of a run. Every process that the run starts has the folder's name in its environment or command
# line, so that conftest.py can end them before it removes the folder. /tmp keeps the paths of sockets short.
RUN_FOLDER = Path(f"/tmp/kasparro-test-{secrets.token_hex(4)}")
os.environ["TMPDIR"] = str(RUN_FOLDER)
os.environ["KASPARRO_HOME"] = str(RUN_FOLDER / "home")

from kasparro.settings import *  # noqa: E402, F403

DEBUG = False  # as in production: with DEBUG on, Django keeps every statement
ETL_HTTP_BACKOFF_SECONDS = 0.01
ETL_HTTP_BACKOFF_CAP_SECONDS = 0.05
