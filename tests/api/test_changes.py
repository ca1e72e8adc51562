"""The change feed: each change once, in commit order, even if processes are killed and transactions commit late."""

import hashlib
import json
import random
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from etl.models import Run
from etl.storage.driver import open_session
from tests.api.landed import SOURCE, land
from tests.api.people import People
from tests.api.web import Web
from tests.factories import make_products, write_products
from tests.laws.test_crashes import landed_batches
from tests.listed_source import fetch, ingest_here
from tests.processes import Project, test_database_url, wait_until
from tests.shop.models import Product, Supplier
from tests.shop.sources import DeletingProducts, make_product
from tests.shop.sources import make_products as make_shop_products


class Mirror:
    """A consumer that knows a source only through its feed and stores its position."""

    def __init__(self, web: Web, token: str, source: str) -> None:
        self.web, self.token, self.source = web, token, source
        self.rows: dict[str, Mapping[str, Any]] = {}
        self.after: str | None = None
        self.read = 0

    def ask(self, limit: int) -> list[dict[str, Any]]:
        after = f"&after={self.after}" if self.after else ""
        answer = self.web.ask(f"/api/v1/changes?source={self.source}&limit={limit}{after}", token=self.token)
        assert answer.status == 200, answer.text
        page = answer.json()
        self.after = page["after"]
        rows: list[dict[str, Any]] = page["data"]
        return rows

    def follow(self, limit: int = 100) -> int:
        """Apply one page. Returns its number of rows."""
        rows = self.ask(limit)
        places = [(row["sequence"], row["id"]) for row in rows]
        assert places == sorted(set(places))
        for row in rows:
            known = self.rows.get(row["external_id"])
            assert known is None or known["sequence"] < row["sequence"], "the same change twice"
            if row["removed_at"] is None:
                self.rows[row["external_id"]] = row
            else:
                self.rows.pop(row["external_id"], None)
        self.read += len(rows)
        return len(rows)

    def catch_up(self) -> None:
        while self.follow():
            pass

    def digest(self) -> str:
        rows = sorted(
            (row["id"], row["external_id"], row["name"], row["value"], row["sequence"]) for row in self.rows.values()
        )
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def digest_table(source: str) -> str:
    rows = fetch(
        "SELECT id, external_id, name, trim_scale(value)::text, sequence FROM unified_records"
        " WHERE source = %s AND removed_at IS NULL ORDER BY id",
        source,
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_a_mirror_fed_while_ingests_are_killed_equals_the_table(
    web: Web, people: People, project: Project, moments: random.Random
) -> None:
    path = write_products(project.folder / "products.csv", list(make_products(1200)))
    project.environment |= {"PRODUCTS_CSV": str(path), "ETL_BATCH_SIZE": "20"}
    mirror, kills = Mirror(web, people.viewer, "products_csv"), 0
    for generation, most_kills in enumerate((2, 2, 4, 4)):
        rows = make_products(1200 + 400 * min(generation, 1))
        present = [(i, n, c, p + generation * (i % 3), x) for i, n, c, p, x in rows if generation != 2 or i % 4]
        write_products(path, present)  # a quarter vanishes, and returns
        until = Run.objects.filter(status="success").count() + 1
        while Run.objects.filter(status="success").count() < until:
            process = project.start("ingest", "products_csv")
            target = landed_batches() + moments.randint(10, 40)
            while process.poll() is None and (landed_batches() < target or kills >= most_kills):
                mirror.follow(limit=moments.choice((1, 7, 100, 1000)))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
    mirror.catch_up()
    assert kills >= 2
    assert mirror.read > 1600 + 400 + 400  # including updates, removals and returns
    assert fetch("SELECT sum(removed)::int FROM etl_runs") == [(400,)]
    assert mirror.digest() == digest_table("products_csv")


def test_reading_on_from_a_stored_position_repeats_nothing(web: Web, people: People) -> None:
    land()
    mirror = Mirror(web, people.viewer, SOURCE)
    mirror.catch_up()
    stored = mirror.after
    assert (mirror.follow(), mirror.after) == (0, stored)
    first = web.ask(f"/api/v1/changes?source={SOURCE}&limit=1", token=people.viewer).json()
    assert first["next"].endswith(f"after={first['after']}&limit=1") or f"after={first['after']}" in first["next"]
    assert web.follow(first["next"], token=people.viewer).json()["data"] != first["data"]
    assert web.ask(f"/api/v1/changes?source={SOURCE}&limit=2", token=people.viewer).json()["next"] is not None
    assert web.ask(f"/api/v1/changes?source={SOURCE}", token=people.viewer).json()["next"] is None


def test_a_source_with_a_model_of_its_own_gives_model_and_key_of_each_row(web: Web, people: People) -> None:
    Supplier.objects.create(code="ACME")
    ingest_here(DeletingProducts(make_shop_products(3)))
    mirror = Mirror(web, people.viewer, DeletingProducts.name)
    mirror.catch_up()
    keys = {sku: str(pk) for sku, pk in Product.objects.values_list("sku", "pk")}
    found = {name: (row["target"], row["target_key"]) for name, row in mirror.rows.items()}
    assert found == {sku: ("shop.Product", key) for sku, key in keys.items()}
    ingest_here(DeletingProducts([make_product(1), make_product(2, price="7")]))
    changed, removed = mirror.ask(10)
    assert (changed["external_id"], changed["target_key"], changed["removed_at"]) == ("P2", keys["P2"], None)
    assert (removed["external_id"], removed["target"], removed["target_key"]) == ("P3", "shop.Product", None)
    assert removed["removed_at"] is not None


def test_a_change_that_is_committed_late_is_not_missed(web: Web, people: People, project: Project) -> None:
    """A batch hangs in the middle of its transaction while the feed is read."""
    rows = list(make_products(60))
    path = write_products(
        project.folder / "products.csv", [*rows[:30], (99, "Refused", "Things", "free", "x"), *rows[30:]]
    )
    project.environment |= {"PRODUCTS_CSV": str(path), "ETL_BATCH_SIZE": "20"}
    mirror = Mirror(web, people.viewer, "products_csv")
    with open_session(test_database_url()) as session, session.cursor() as cursor:
        cursor.execute("LOCK TABLE etl_quarantine IN ACCESS EXCLUSIVE MODE")
        process = project.start("ingest", "products_csv")
        wait_until(lambda: fetch("SELECT FROM pg_locks WHERE NOT granted AND relation = 'etl_quarantine'::regclass"))
        mirror.catch_up()
        read_before = mirror.read
        assert read_before == 20
        assert mirror.follow() == 0
    process.wait()
    mirror.catch_up()
    assert mirror.read == 60
    assert mirror.digest() == digest_table("products_csv")


def test_lines_of_ndjson_are_the_same_rows(web: Web, people: People) -> None:
    land()
    plain = web.ask(f"/api/v1/changes?source={SOURCE}", token=people.viewer)
    lines = web.ask(f"/api/v1/changes?source={SOURCE}", token=people.viewer, headers={"Accept": "application/x-ndjson"})
    assert lines.content_type == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == plain.json()["data"]
    assert lines.headers["x-after"] == plain.headers["x-after"] == plain.json()["after"]
    rest = web.ask(
        f"/api/v1/changes?source={SOURCE}&after={lines.headers['x-after']}",
        token=people.viewer,
        headers={"Accept": "application/x-ndjson"},
    )
    assert (rest.body, rest.headers["x-after"]) == (b"", lines.headers["x-after"])
    refused = web.ask("/api/v1/changes", token=people.viewer, headers={"Accept": "application/x-ndjson"})
    assert (refused.status, refused.json()["status"]) == (400, 400)


@pytest.mark.parametrize("source", ["nobody", "LISTED", "%20listed", "%ED%A0%80"])
def test_an_unknown_source_is_refused_with_the_known_ones(web: Web, people: People, source: str) -> None:
    land()
    answer = web.ask(f"/api/v1/changes?source={source}", token=people.viewer)
    assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert "products_csv" in answer.json()["detail"]


def test_a_source_that_has_never_run_has_an_empty_feed(web: Web, people: People) -> None:
    page = web.ask("/api/v1/changes?source=products_csv", token=people.viewer).json()
    assert (page["data"], page["next"]) == ([], None)
    assert web.ask(f"/api/v1/changes?source=products_csv&after={page['after']}", token=people.viewer).status == 200


def test_a_position_of_another_feed_is_refused(web: Web, people: People) -> None:
    land()
    after = web.ask(f"/api/v1/changes?source={SOURCE}", token=people.viewer).json()["after"]
    assert web.ask(f"/api/v1/changes?source=products_csv&after={after}", token=people.viewer).status == 400
