"""A network link that can drop every packet: clients run in a network namespace (Linux only, as root).

Dropped packets get no answer, as with a firewall that has lost a connection: each end is given a wrong hardware address
for the other one. The link uses only its own two addresses.
"""

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FIRST_ADDRESS, NETWORKS = ipaddress.IPv4Address("198.18.0.0"), 1 << 15  # a range for network tests (RFC 2544)
INSIDE = "outward"  # name of the device in the namespace
MAC_HERE, MAC_THERE, WRONG_MAC = "02:00:c6:12:00:01", "02:00:c6:12:00:02", "02:00:c6:12:00:99"
NAMESPACE = "kasparro-"


@dataclass(frozen=True)
class Link:
    """The only connection of a namespace; `number` is the process that made it."""

    number: int

    @property
    def namespace(self) -> str:
        return f"{NAMESPACE}{self.number}"

    @property
    def device(self) -> str:
        return f"kp{self.number}"

    @property
    def here(self) -> str:
        """The address of our end."""
        return str(FIRST_ADDRESS + self.number % NETWORKS * 4 + 1)

    @property
    def there(self) -> str:
        """The address of the namespace's end."""
        return str(FIRST_ADDRESS + self.number % NETWORKS * 4 + 2)

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words that make a command run in the namespace."""
        return ("ip", "netns", "exec", self.namespace)

    def drop(self) -> None:
        """Drop all packets from now on, in both directions, without an error."""
        self._resolve(WRONG_MAC, WRONG_MAC)

    def deliver(self) -> None:
        """Deliver packets from now on."""
        self._resolve(MAC_THERE, MAC_HERE)

    def _resolve(self, there: str, here: str) -> None:
        entry = ("nud", "permanent", "dev")
        ip("neigh", "replace", self.there, "lladdr", there, *entry, self.device)
        ip("-n", self.namespace, "neigh", "replace", self.here, "lladdr", here, *entry, INSIDE)

    def make(self) -> None:
        ip("netns", "add", self.namespace)
        peer = ("peer", "name", INSIDE, "address", MAC_THERE, "netns", self.namespace)
        ip("link", "add", self.device, "address", MAC_HERE, "type", "veth", *peer)

    def open(self) -> None:
        inside = ("-n", self.namespace)
        ip("addr", "add", f"{self.here}/30", "dev", self.device)
        ip(*inside, "addr", "add", f"{self.there}/30", "dev", INSIDE)
        ip("link", "set", self.device, "up")
        for device in ("lo", INSIDE):
            ip(*inside, "link", "set", device, "up")
        self.deliver()

    def remove(self) -> None:
        for command in (("link", "del", self.device), ("netns", "del", self.namespace)):
            subprocess.run(["ip", *command], capture_output=True, check=False)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True)


def remove_leftovers() -> None:
    """Remove the links of test runs that were killed."""
    for file in Path("/run/netns").glob(f"{NAMESPACE}*"):
        number = int(file.name.removeprefix(NAMESPACE))
        if not Path(f"/proc/{number}").exists():
            Link(number).remove()


@contextmanager
def linking() -> Iterator[Link]:
    """A new namespace with its link; skip the test if the machine can't make one."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network namespace needs root and the program `ip`")
    remove_leftovers()
    link = Link(os.getpid())
    try:
        try:
            link.make()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
        link.open()
        yield link
    finally:
        link.remove()
