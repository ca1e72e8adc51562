"""The project's own settings and middleware, with the bare views of bare.py as the only URLs."""

import os

from kasparro.settings import *  # noqa: F403

ROOT_URLCONF = "bench.bare"
BENCH_PAGE = os.environ["BENCH_PAGE"]
"""A file with the bytes of one page of our API."""
