"""A source whose own code hangs, as no deadline of a request could end it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.sources.coingecko import CoinGecko


class HangingCoins(CoinGecko):
    """CoinGecko's coins; in a process with HANG=on, opening them never ends."""

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        while os.environ.get("HANG") == "on":
            time.sleep(0.1)
        with super().open(opening, context) as content:
            yield content
