"""The base class of both embedded servers: where their files are, and whether they run."""

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
    """One server, with its data, log and socket below `base`."""

    base: Path
    name: ClassVar[str]
    program: ClassVar[str]
    socket_name: ClassVar[str]
    pid_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    is_required: ClassVar[bool]
    unready: ClassVar[type[Exception]]  # raised by `ping` while the server accepts no commands

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
        """Create the files that the program needs to start."""

    @abstractmethod
    def make_command(self) -> list[str]: ...

    @abstractmethod
    def ping(self) -> None:
        """Send the server a command."""

    def answers(self) -> bool:
        """Return whether a process accepts connections on the socket; false for a stale socket file."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
            return True

    def find_process(self) -> int | None:
        """Return the pid in the pid file, or None if it now belongs to another process or to none."""
        try:
            pid = int(self.pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        command = read_command(pid)
        return pid if self.program in command and str(self.socket.parent) in command else None


def read_command(pid: int) -> str:
    """Return the command line of a process; empty if the process has ended or is a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            return ""
    command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
