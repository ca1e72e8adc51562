"""The contestants in the order of a round, and in how many of the rounds each takes part."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.loads import ours, yardstick
from bench.loads.measuring import Bench, Case
from bench.loads.peers import PEERS, QUIET, Peer

PLAIN = "plain SQL"
SCRIPT = Path(__file__).parent / "plain.sql"


@dataclass(frozen=True, slots=True)
class Contestant:
    """`--only` selects by `name`; `rounds` limits how often it is measured."""

    name: str
    measure: Callable[[Bench, int], None]
    rounds: int = 99


def list_contestants() -> list[Contestant]:
    """Return all, in the order of a round."""
    return [
        Contestant("products", _load_products),
        Contestant("products yardstick", lambda bench, _: yardstick.time_copies(bench, "products")),
        Contestant("products worker", lambda bench, _: ours.load_through_worker(bench, "products")),
        Contestant("products plain", _load_plainly),
        *(
            Contestant(f"products {peer.name}", partial(_load_peer, peer), rounds=1 if peer.share < 1 else 99)
            for peer in PEERS
            if peer.is_installed()
        ),
        Contestant("rough", lambda bench, _: ours.load_first(bench, "rough")),
        Contestant("rough yardstick", lambda bench, _: yardstick.time_copies(bench, "rough")),
        Contestant("export", lambda bench, _: ours.load_first(bench, "export"), rounds=2),
        Contestant("export yardstick", lambda bench, _: yardstick.time_copies(bench, "export"), rounds=2),
        Contestant("lines", lambda bench, _: ours.load_first(bench, "lines"), rounds=2),
        Contestant("array", lambda bench, _: ours.load_first(bench, "array"), rounds=2),
    ]


def _load_products(bench: Bench, number: int) -> None:
    ours.load_all(bench, "products")


def _load_plainly(bench: Bench, number: int) -> None:
    """Plain SQL: a first load, and in the first round the same file again and 0.1 % changed."""
    bench.database.renew()
    script = bench.folder / "plain.sql"
    for step, variant in _list_steps(number):
        script.write_text(SCRIPT.read_text().format(file=bench.folder / variant / "products.csv"))
        bench.measure(Case(PLAIN, "products", step), yardstick.make_command(bench, script))


def check_plain(bench: Bench) -> None:
    """End the benchmark if plain SQL did not write as many rows into the two tables as our run did."""
    plain, base = (bench.figures.by_case.get(Case(who, "products")) for who in (PLAIN, yardstick.WHO))
    if plain and base and sorted(plain[0].written.values()) != sorted(base[0].written.values()):
        sys.exit(f"Plain SQL wrote other rows than our run: {plain[0].written}, not {base[0].written}")


def _load_peer(peer: Peer, bench: Bench, number: int) -> None:
    """A peer loads the clean file: a slow one a part of it."""
    bench.database.renew()
    home = bench.folder / "peer"
    shutil.rmtree(home, ignore_errors=True)
    name = "clean.csv" if peer.share == 1 else "share.csv"
    for step, variant in _list_steps(number):
        command = peer.make_command(bench.folder / variant / name, bench.database.url, home)
        bench.measure(Case(peer.name, "products", step), command, make_environment(bench, home))


def make_environment(bench: Bench, home: Path) -> dict[str, str]:
    kept = {name: bench.database.environment[name] for name in ("PATH", "LANG") if name in bench.database.environment}
    home.mkdir(parents=True, exist_ok=True)
    return {**kept, **QUIET, "HOME": str(home), "SLING_HOME_DIR": str(home)}


def _list_steps(number: int) -> list[tuple[str, str]]:
    """Return each step with its variant of the files."""
    again = [("again", "first"), ("changed", "changed")]
    return [("first", "first"), *([] if number else again)]
