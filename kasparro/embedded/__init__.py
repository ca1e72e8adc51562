"""PostgreSQL and Valkey from their wheels, for development and tests; not used if both URLs are set.

Both servers outlive the process that started them, keep their data in one folder of mode 0700 and listen only on
unix sockets. docs/decisions/0021-launching-the-embedded-servers.md says why the wheels' own launchers are not used.
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
    """The embedded servers of one home folder, and which of them this process uses."""

    home: Path
    runs_postgresql: bool = True
    runs_valkey: bool = True

    @property
    def folder(self) -> Path:
        """The folder of the servers' data: `home`, or the target of the link `home/location`."""
        return locate(self.home)

    def database_settings(self) -> dict[str, Any]:
        """Return an entry for Django's DATABASES. Its engine starts the servers if they are down."""
        host = str(find_sockets(self.folder))
        return {"ENGINE": DATABASE_ENGINE, "NAME": DATABASE_NAME, "USER": DATABASE_NAME, "HOST": host}

    def database_url(self) -> str:
        return f"postgresql://{DATABASE_NAME}@/{DATABASE_NAME}?host={find_sockets(self.folder)}"

    def redis_url(self) -> str:
        return f"unix://{Valkey(self.folder).socket}?db=0"

    def list_used(self) -> list[Server]:
        """Return the servers that this process uses, in the order in which they start."""
        postgresql, valkey = PostgreSQL(self.folder), Valkey(self.folder)
        return [*([postgresql] if self.runs_postgresql else []), *([valkey] if self.runs_valkey else [])]

    def start(self) -> None:
        """Start every server that does not respond and wait until it does; raise EmbeddedError if one fails."""
        if used := self.list_used():
            with folders.hold(self.home, self.folder):
                for server in used:
                    starting.start(server)

    def start_missing(self, *, is_recovering: bool = False) -> None:
        """Like `start`, but do nothing if both servers respond, and continue without Valkey if it fails to start.

        `is_recovering`: a server responds but accepts no queries yet; wait until it does.
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
        """Stop both servers; PostgreSQL rolls back open transactions. Raise EmbeddedError if one does not stop."""
        if self.folder.exists():
            with folders.hold(self.home, self.folder):
                for server in reversed(self.list_used()):
                    starting.stop(server)
        starting.reap()
