"""The peers: their commands, their tables, and whether they are installed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PathDistribution, version
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from bench.database import ROOT

HERE = Path(__file__).parent
VENV = ROOT / "bench" / ".venv"
PACKAGES = next(VENV.glob("lib/python*/site-packages"), VENV / "missing")
SLING = PACKAGES / "sling_linux_amd64" / "bin" / "sling-linux-amd64"
DLT = PACKAGES / "dlt"
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false", "SLING_DISABLE_TELEMETRY": "true", "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Peer:
    """One contestant. `program` must exist; `share` is the part of the rows that a slow one gets."""

    name: str
    command: Sequence[str]
    table: str
    program: Path
    share: float = 1.0

    def is_installed(self) -> bool:
        return self.program.exists()

    def make_command(self, file: Path, url: str, folder: Path) -> list[str]:
        places = {"file": str(file), "url": url, "hosted_url": name_host(url), "folder": str(folder)}
        return [part.format(**places) for part in self.command]


def name_host(url: str) -> str:
    """Add the host and the password that dlt insists on; the server's socket, in the query, is used anyway."""
    parts = urlsplit(url)
    if "@/" not in url:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:unused@localhost"))


def _run_dlt(mode: str) -> list[str]:
    return [str(VENV / "bin" / "python"), str(HERE / "dlt_peer.py"), mode, "{file}", "{hosted_url}", "{folder}"]


PEERS = (
    Peer(
        "Sling",
        [
            *(str(SLING), "run", "--src-stream", "file://{file}", "--tgt-conn", "{url}"),
            *("--tgt-object", "peer.products", "--mode", "incremental", "--primary-key", "product_id"),
        ],
        "peer.products",
        SLING,
    ),
    Peer("dlt, Arrow", _run_dlt("arrow"), "peer.products", DLT),
    Peer("dlt, Arrow, raw and merged", _run_dlt("both"), "peer.products", DLT),
    Peer("dlt, default", _run_dlt("default"), "peer.products", DLT, share=0.1),
    Peer(
        "bulk_create",
        [sys.executable, str(HERE / "django_peer.py"), "{file}", "{url}"],
        "public.peer_products",
        Path(sys.executable),
        share=0.1,
    ),
)


def list_versions() -> str:
    """Name the peers with their versions."""
    named = [f"{name} {find_version(name)}" for name in ("sling_linux_amd64", "dlt", "pyarrow")]
    return ", ".join([*named, f"psycopg2-binary {version('psycopg2-binary')}"])


def find_version(name: str) -> str:
    """Return the version of a peer by the name of its package's folder."""
    path = next(PACKAGES.glob(f"{name}-*.dist-info"), None)
    return PathDistribution(path).version if path else "not installed"
