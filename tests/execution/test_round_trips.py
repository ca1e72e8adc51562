"""A run that has nothing to do asks the database little: counted on the wire, with BEGIN and COMMIT."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tests.factories import make_products, write_products
from tests.processes import Project
from tests.relays import find_postgresql, make_database_url, relaying

MOST_AFTER_THE_CLAIM = 6
MOST_OF_THE_CLAIM = 13
PROTOCOL = 3


def list_statements(sent: bytes) -> Iterator[str]:
    """Yield the queries that one client has sent; each waits for its answer. (PostgreSQL: "Message Formats".)"""
    place, is_started = 0, False
    while not is_started:  # first requests of encryption, which have no type
        length, code = struct.unpack_from("!ii", sent, place)
        place, is_started = place + length, code >> 16 == PROTOCOL
    while place < len(sent):
        kind, length = struct.unpack_from("!ci", sent, place)
        if kind == b"Q":
            yield sent[place + 5 : place + length].decode()
        place += 1 + length


def test_a_run_that_finds_nothing_new_takes_six_round_trips_after_its_claim(project: Project) -> None:
    products = write_products(Path(project.folder) / "products.csv", make_products(5))
    project.environment["PRODUCTS_CSV"] = str(products)
    project.ingest("products_csv")
    with relaying(find_postgresql()) as relay:
        project.environment["DATABASE_URL"] = make_database_url(relay)
        (outcome,) = project.ingest("products_csv")
        assert len(relay.pairs) == 1
        statements = list(list_statements(bytes(relay.sent)))
    assert outcome["reason"] == "unchanged"
    claimed = statements.index("COMMIT") + 1
    assert len(statements[claimed:]) <= MOST_AFTER_THE_CLAIM, statements[claimed:]
    assert len(statements[:claimed]) <= MOST_OF_THE_CLAIM, statements[:claimed]
