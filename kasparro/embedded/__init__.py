"""PostgreSQL and Valkey from their wheels, for development and tests; not used where both URLs are set.

Both servers outlive the process that started them, keep their data in one folder of mode 0700 and listen on unix
sockets only. Why the wheels' own launchers don't serve: docs/decisions/0021-launching-the-embedded-servers.md.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kasparro.embedded import folders, starting
from kasparro.embedded.errors import EmbeddedError
from kasparro.embedded.paths import find_sockets, locate
from kasparro.embedded.postgresql import DATABASE_NAME, PostgreSQL
from kasparro.embedded.server import Server
from kasparro.embedded.valkey import Valkey

__all__ = ["DATABASE_ENGINE", "EmbeddedError", "Server", "Servers"]

DATABASE_ENGINE = "kasparro.embedded.backend"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Servers:
    """The embedded servers of one home folder, and which of the two this process uses."""

    home: Path
    runs_postgresql: bool = True
    runs_valkey: bool = True

    @property
    def folder(self) -> Path:
        """Where the servers' data is: `home`, or the folder that the link `home/location` leads to."""
        return locate(self.home)

    def database_settings(self) -> dict[str, Any]:
        """The entry of Django's DATABASES; its engine starts the servers when it finds them down."""
        host = str(find_sockets(self.folder))
        return {"ENGINE": DATABASE_ENGINE, "NAME": DATABASE_NAME, "USER": DATABASE_NAME, "HOST": host}

    def database_url(self) -> str:
        return f"postgresql://{DATABASE_NAME}@/{DATABASE_NAME}?host={find_sockets(self.folder)}"

    def redis_url(self) -> str:
        return f"unix://{Valkey(self.folder).socket}?db=0"

    def list_used(self) -> list[Server]:
        """PostgreSQL and Valkey, as far as this process uses them, in the order in which they start."""
        postgresql, valkey = PostgreSQL(self.folder), Valkey(self.folder)
        return [*([postgresql] if self.runs_postgresql else []), *([valkey] if self.runs_valkey else [])]

    def start(self) -> None:
        """Start what does not answer and wait until it does; raises EmbeddedError with one sentence."""
        if used := self.list_used():
            with folders.hold(self.home, self.folder):
                for server in used:
                    starting.start(server)

    def start_missing(self, *, is_recovering: bool = False) -> None:
        """`start`, but only if a server does not answer, and without Valkey rather than not at all.

        `is_recovering`: one answers but takes no queries yet; wait until it does.
        """
        used = self.list_used()
        if not is_recovering and all(server.answers() for server in used):
            return
        with folders.hold(self.home, self.folder):
            for server in used:
                try:
                    starting.start(server)
                except EmbeddedError as error:
                    if server.is_required:
                        raise
                    logger.warning("%s", error)

    def stop(self) -> None:
        """Stop both; PostgreSQL rolls back what is open. Raises EmbeddedError with one sentence."""
        if self.folder.exists():
            with folders.hold(self.home, self.folder):
                for server in reversed(self.list_used()):
                    starting.stop(server)
        starting.reap()
