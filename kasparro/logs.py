"""Where log lines go."""

import logging
import sys
from typing import TextIO


class StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment: progress bars replace it while they are shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr
