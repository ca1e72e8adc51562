"""The project's settings for a test run: development, with separate servers and a separate folder."""

import os
import secrets
from pathlib import Path

os.environ.setdefault("DEBUG", "true")
# Everything that a run creates is in this folder, and every process that it starts has the folder's name in its
# environment or command line (conftest.py creates it, ends them and removes it). In /tmp, paths of sockets stay short.
# A process of pytest-xdist has a part of the run's folder; a test run that a test starts is not such a process.
if worker := os.environ.pop("PYTEST_XDIST_WORKER", ""):
    RUN_FOLDER = Path(os.environ["KASPARRO_TEST_FOLDER"]) / worker
else:
    RUN_FOLDER = Path(f"/tmp/kasparro-test-{secrets.token_hex(4)}")
    os.environ["KASPARRO_TEST_FOLDER"] = str(RUN_FOLDER)
os.environ["TMPDIR"] = str(RUN_FOLDER)
os.environ["KASPARRO_HOME"] = str(RUN_FOLDER / "home")

from kasparro.settings import *  # noqa: F403

INSTALLED_APPS += ["tests.shop"]  # noqa: F405  (a team's own app, with targets)
SHOP_CSV = ""
DEBUG = False  # as in production: with DEBUG, Django keeps every statement
PASSWORD_HASHERS = ["tests.passwords.QuickHasher"]
API_STATS_SECONDS = 0
ETL_HTTP_BACKOFF_SECONDS = 0.01
ETL_HTTP_BACKOFF_CAP_SECONDS = 0.05
