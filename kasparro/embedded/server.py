"""What PostgreSQL and Valkey have in common as embedded servers: their files, and how to tell that one runs."""

import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kasparro.embedded.paths import find_sockets


@dataclass(frozen=True, slots=True)
class Server(ABC):
    """One server, whose data, log and socket are below `base`."""

    base: Path
    name: ClassVar[str]
    program: ClassVar[str]
    socket_name: ClassVar[str]
    pid_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    is_required: ClassVar[bool]
    unready: ClassVar[type[Exception]]  # what `ping` raises while the server takes no commands

    @property
    def folder(self) -> Path:
        return self.base / self.name.lower()

    @property
    def log(self) -> Path:
        return self.base / f"{self.name.lower()}.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / self.pid_name

    @property
    def socket(self) -> Path:
        return find_sockets(self.base) / self.socket_name

    @abstractmethod
    def prepare(self) -> None:
        """Make what the program needs before it starts."""

    @abstractmethod
    def make_command(self) -> list[str]: ...

    @abstractmethod
    def ping(self) -> None:
        """Give it a command to run."""

    def answers(self) -> bool:
        """Whether something accepts connections on the socket (a stale socket file does not)."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            return True

    def find_process(self) -> int | None:
        """The pid in the pid file, if that process is this server and not a later one with its number."""
        try:
            pid = int(self.pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        command = _read_command(pid)
        return pid if self.program in command and str(self.socket.parent) in command else None


def _read_command(pid: int) -> str:
    """The command line of a process; empty if it is gone or a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            return ""
    command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
