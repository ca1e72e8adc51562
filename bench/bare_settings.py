"""The project's own settings and middleware, with the bare views of bare.py as its only addresses."""

import os

from kasparro.settings import *  # noqa: F403

ROOT_URLCONF = "bench.bare"
BENCH_PAGE = os.environ["BENCH_PAGE"]
"""The file with the bytes of a page of ours."""
