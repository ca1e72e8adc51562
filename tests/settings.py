"""The project's settings for a test run: development, with servers and a folder of its own."""

import os
import tempfile

os.environ.setdefault("DEBUG", "true")
if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
    # A fresh folder for each run; /tmp keeps the socket's path short.
    os.environ["KASPARRO_HOME"] = tempfile.mkdtemp(prefix="kasparro-test-", dir="/tmp")

from kasparro.settings import *  # noqa: F403

DEBUG = False  # as in production: with DEBUG on, Django keeps every statement
ETL_HTTP_BACKOFF_SECONDS = 0.01
ETL_HTTP_BACKOFF_CAP_SECONDS = 0.05
