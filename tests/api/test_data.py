"""The unified records: envelope, pages, filters and counts."""

import json
import random
import signal
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from etl.models import Checkpoint, Run, UnifiedRecord
from tests.api.landed import SOURCE, land
from tests.api.people import People, make_session
from tests.api.walks import walk, walk_rows
from tests.api.web import Web
from tests.factories import make_products, write_products
from tests.laws.test_crashes import landed_batches
from tests.listed_source import Listed, fetch, ingest_here, make_item
from tests.processes import Project

FIELDS = [
    *("id", "source", "external_id", "name", "category", "value", "currency", "event_timestamp"),
    *("ingested_at", "updated_at", "removed_at", "sequence", "raw_id", "target", "target_key"),
]
HOSTILE = (
    "<script>alert('canary')</script>",
    "\"><img src=x onerror=alert('canary')>",
    "javascript:alert('canary')",
    'http://evil.test/?canary="onmouseover="alert(1)',
    "</script><script src=//evil.test/canary.js>",
    "&lt;b&gt; &amp; 'quotes' \"and\" \\ backslashes\\u0041",
    "\u2028line\u2029paragraph\u0085",
    "🦄👩‍👩‍👧 \U0010ffff",
    "\u202eright to left\u202c",
    "\x01\x1b[31m\x7f\t\r\n controls",
    "{{ 7 * 7 }} {% debug %} %s %(x)s",
)


def insert_unified(count: int, *, source: str = "many") -> None:
    """Insert `count` records in one statement, with three different names, of a source that is known."""
    Checkpoint.objects.get_or_create(source=source)
    fetch(
        "INSERT INTO unified_records (source, external_id, name, category, value, currency, event_timestamp,"
        " ingested_at, updated_at, content_hash, sequence, raw_id)"
        " SELECT %s, 'x' || n, 'Thing ' || n %% 3, CASE n %% 2 WHEN 0 THEN 'even' END, n, 'EUR',"
        " '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 hour', now(), now(), '', n, n"
        " FROM generate_series(1, %s) AS n RETURNING id",
        source,
        count,
    )


def test_the_envelope_is_as_documented(web: Web, people: People) -> None:
    land()
    answer = web.ask("/api/v1/data", token=people.viewer, headers={"X-Request-ID": "mine"})
    assert answer.content_type == "application/json"
    page = answer.json()
    assert list(page) == ["request_id", "api_latency_ms", "count", "next", "previous", "data"]
    assert (page["request_id"], page["count"], page["next"], page["previous"]) == ("mine", 2, None, None)
    assert 0 < page["api_latency_ms"] < 10_000
    (row, _) = page["data"]
    assert list(row) == FIELDS
    assert (row["source"], row["external_id"], row["name"], row["value"]) == (SOURCE, "1", "Thing", "1.5")
    assert (row["category"], row["currency"]) == (None, None)
    single = web.ask(f"/api/v1/data/{row['id']}", token=people.viewer)
    assert single.json() == row
    at_root = web.ask("/data", token=people.viewer).json()
    assert at_root["data"] == page["data"]


def test_a_value_is_a_decimal_without_trailing_zeros(web: Web, people: People) -> None:
    insert_unified(9)
    values = {
        "0": "0",
        "-0.0": "0",
        "1E+5": "100000",
        "0.10": "0.1",
        "100": "100",
        "1e-18": "0.000000000000000001",
        "12345678901234567890.123456789012345678": "12345678901234567890.123456789012345678",
    }
    ids = list(UnifiedRecord.objects.order_by("id").values_list("id", flat=True))
    for row_id, value in zip(ids, [*values, None], strict=False):
        UnifiedRecord.objects.filter(pk=row_id).update(value=None if value is None else Decimal(value))
    shown = [row["value"] for row in web.ask("/data", token=people.viewer).json()["data"]]
    assert shown == [*values.values(), None, "9"]


FILTERS: dict[str, str] = {
    "": "true",
    "source=many": "source = 'many'",
    "source=listed": "false",
    "category=even": "category = 'even'",
    "external_id=x7": "external_id = 'x7'",
    "name=THING+1": "name LIKE 'Thing 1%%'",
    "name=%25": "false",
    "name=_": "false",
    "name=%5C": "false",
    "value_min=7.5&value_max=20": "value BETWEEN 7.5 AND 20",
    "currency=EUR&source=many": "source = 'many'",
    "currency=eur": "false",
    "event_after=2026-01-01T05:00:00Z": "event_timestamp >= '2026-01-01T05:00:00Z'",
    "event_after=2026-01-01T05:00:00%2B01:00": "event_timestamp >= '2026-01-01T04:00:00Z'",
    "event_before=2026-01-01T05:00:00Z": "event_timestamp < '2026-01-01T05:00:00Z'",
    "event_after=2026-01-01": "event_timestamp >= '2026-01-01T00:00:00Z'",
    "updated_since=2026-01-01T00:00:00Z": "true",
    "updated_since=2999-01-01T00:00:00Z": "false",
}
ORDERS = {
    "id": "id",
    "-id": "id DESC",
    "external_id": "source, external_id",
    "-external_id": "source DESC, external_id DESC",
}


def test_walks_in_both_directions_return_each_row_once_for_every_ordering_and_filter(web: Web, people: People) -> None:
    insert_unified(23)
    insert_unified(8, source="many more")
    for given, where in FILTERS.items():
        for ordering, by in ORDERS.items():
            expected = [row[0] for row in fetch(f"SELECT id FROM unified_records WHERE {where} ORDER BY {by}")]
            address = f"/data?{given}&limit=4&ordering={ordering}".replace("?&", "?")
            pages = walk(web, address, people.viewer)
            assert [row["id"] for page in pages for row in page] == expected, (given, ordering)
            assert all(len(page) == 4 for page in pages[:-1]), (given, ordering)
            if len(pages) > 1:
                last = address
                for _ in pages[1:]:
                    last = web.follow(last, token=people.viewer).json()["next"]
                back = walk(web, last, people.viewer, by="previous")
                assert back[::-1] == pages, (given, ordering)


def test_a_page_with_all_rows_has_no_links(web: Web, people: People) -> None:
    insert_unified(8)
    page = web.ask("/data?limit=8", token=people.viewer).json()
    assert (len(page["data"]), page["next"], page["previous"]) == (8, None, None)
    last = walk(web, "/data?limit=4", people.viewer)
    assert [len(page) for page in last] == [4, 4]


def test_the_default_order_of_a_source_is_by_external_id(web: Web, people: People) -> None:
    insert_unified(12)
    rows = web.ask("/data?source=many", token=people.viewer).json()["data"]
    assert [row["external_id"] for row in rows] == [
        row[0] for row in fetch("SELECT external_id FROM unified_records ORDER BY external_id")
    ]


def test_limits_and_offsets_are_bounded(web: Web, people: People) -> None:
    insert_unified(1005)
    for given, rows in (
        ("limit=1", 1),
        ("limit=1000", 1000),
        ("", 50),
        ("limit=1000&offset=10", 995),
        ("offset=10000", 0),
    ):
        assert len(web.ask(f"/data?{given}", token=people.viewer).json()["data"]) == rows, given
    for given in ("limit=0", "limit=1001", "limit=-1", "offset=-1", "offset=10001", "offset=1.5"):
        assert web.ask(f"/data?{given}", token=people.viewer).status == 400, given
    assert "cursor" in web.ask("/data?offset=10001", token=people.viewer).json()["detail"]


def test_an_old_client_walks_by_offset_and_continues_by_cursor(web: Web, people: People) -> None:
    insert_unified(12_500)
    rows = walk_rows(web, "/data?limit=1000&offset=500", people.viewer)
    assert [row["id"] for row in rows] == [
        row[0] for row in fetch("SELECT id FROM unified_records ORDER BY id OFFSET 500")
    ]
    page = web.ask("/data?limit=10&offset=15", token=people.viewer).json()
    assert "offset=5" in page["previous"]
    first = web.follow(page["previous"], token=people.viewer).json()
    assert [row["external_id"] for row in first["data"]] == [f"x{n}" for n in range(6, 16)]
    assert "offset=0" in first["previous"]


def test_a_count_is_given_if_it_is_free_or_requested(web: Web, people: People) -> None:
    land()
    insert_unified(7)  # bypasses the pipeline, so the stored counts don't include them
    counts: dict[str, int | None] = {
        "": 2,
        f"source={SOURCE}": 2,
        "source=many": 0,
        f"source={SOURCE}&category=x": None,
        "name=Thing": None,
        "name=Thing&count=exact": 9,
        f"source={SOURCE}&limit=1": 2,
        "limit=1&ordering=-id": 2,
        "value_min=2&count=exact": 6,
        f"source={SOURCE}&name=Thing&count=exact&limit=1": 2,
        f"count=exact&source={SOURCE}": 2,
    }
    for given, count in counts.items():
        assert web.ask(f"/data?{given}", token=people.viewer).json()["count"] == count, given
    for given in ("count=abc", f"source={SOURCE}&count=abc", "name=T&count="):
        assert web.ask(f"/data?{given}", token=people.viewer).status == 400, given
    pages = walk(web, f"/data?limit=1&source={SOURCE}&name=T&count=exact", people.viewer)
    assert len(pages) == 2


def test_blanks_in_a_filter_are_significant(web: Web, people: People) -> None:
    ingest_here(Listed([make_item(1, name=" x "), make_item(" 7")]))
    found = {
        given: [row["external_id"] for row in web.ask(f"/data?{given}", token=people.viewer).json()["data"]]
        for given in ("external_id=%207", "external_id=7", "name=x%20", "name=%20%20")
    }
    assert found == {
        "external_id=%207": [" 7"],
        "external_id=7": [],
        "name=x%20": ["1"],
        "name=%20%20": [],
    }


class Finder(HTMLParser):
    """Finds the parts of a page that would run or be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.is_in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.is_in_script = tag == "script"
        for name, value in attrs:
            is_run = name.startswith("on") or (value or "").strip().startswith("javascript:")
            if is_run and ("alert" in (value or "") or "canary" in (value or "")):
                self.found.append(f"{tag} {name}={value}")
            if name == "src" and "canary" in (value or ""):
                self.found.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self.is_in_script = False

    def handle_data(self, data: str) -> None:
        if self.is_in_script and "canary" in data:
            self.found.append(data)


def test_hostile_strings_are_returned_unchanged_and_inert(web: Web, people: People) -> None:
    items = [make_item(f"{number}{text}", name=text) for number, text in enumerate(HOSTILE)]
    items += [make_item(f"bad {text}", name=text, price=text) for text in HOSTILE]
    ingest_here(Listed(items))
    rows = web.ask("/data", token=people.viewer).json()["data"]
    assert {row["name"] for row in rows} == set(HOSTILE)
    for row in rows:
        query = urlencode({"external_id": row["external_id"]})
        assert web.ask(f"/data?{query}", token=people.viewer).json()["data"] == [row]
        (version,) = web.ask(f"/api/v1/data/{row['id']}/history", token=people.viewer).json()["data"]
        assert json.loads(version["payload"])["name"] == row["name"]
    refused = web.ask("/api/v1/quarantine", token=people.viewer).json()["data"]
    assert len(refused) == len(HOSTILE)
    browser = make_session("olga") | {"Accept": "text/html"}
    pages = ["/data", f"/api/v1/data/{rows[0]['id']}", f"/api/v1/data/{rows[1]['id']}/history", "/api/v1/quarantine"]
    pages += [f"/api/v1/quarantine/{row['id']}" for row in refused]
    pages += [f"/api/v1/data?{urlencode({'name': text})}" for text in HOSTILE]
    for page in pages:
        answer = web.ask(page, headers=browser)
        assert answer.content_type.startswith("text/html"), page
        finder = Finder()
        finder.feed(answer.text)
        assert finder.found == [], page
    assert "&lt;script&gt;" in web.ask("/data", headers=browser).text


def test_a_records_history_shows_each_version_with_its_run(web: Web, people: People) -> None:
    source = Listed([make_item(1, price="1.10")])
    for price in ("1.10", "2", "3.000"):
        source.records = [make_item(1, price=price)]
        ingest_here(source)
    (record,) = web.ask("/data", token=people.viewer).json()["data"]
    versions = walk_rows(web, f"/api/v1/data/{record['id']}/history?limit=2", people.viewer)
    runs = list(Run.objects.order_by("-id").values_list("id", flat=True))
    assert [json.loads(version["payload"])["price"] for version in versions] == ["3.000", "2", "1.10"]
    assert [version["run"]["id"] for version in versions] == runs
    assert [version["is_current"] for version in versions] == [True, False, False]
    assert versions[0]["id"] == record["raw_id"]


def test_walks_while_ingests_write_and_are_killed_skip_and_repeat_nothing(
    web: Web, people: People, project: Project, moments: random.Random
) -> None:
    path = write_products(project.folder / "products.csv", list(make_products(400, start=1001)))
    project.environment |= {"PRODUCTS_CSV": str(path), "ETL_BATCH_SIZE": "20"}
    project.ingest("products_csv")
    existing = {str(number) for number in range(1001, 1401)}
    write_products(path, [(i, f"New {n}", c, p, x) for i, n, c, p, x in make_products(2400)])
    process = project.start("ingest", "products_csv")
    orderings, kills, target = list(ORDERS), 0, landed_batches() + 8
    while orderings or process.poll() is None:
        rows = []
        ordering = orderings.pop() if orderings else "external_id"
        following = f"/data?source=products_csv&limit=30&ordering={ordering}"
        while following:
            if process.poll() is None and landed_batches() >= target and kills < 2:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                target = landed_batches() + moments.randint(4, 20)
                process = project.start("ingest", "products_csv")
            page = web.follow(following, token=people.viewer).json()
            rows += [row["external_id"] for row in page["data"]]
            following = page["next"]
        assert len(rows) == len(set(rows)), (ordering, "repeated")
        assert existing <= set(rows), (ordering, "skipped")
    assert kills >= 2
    assert len(walk_rows(web, "/data?source=products_csv&limit=1000", people.viewer)) == 2400


class Complete(Listed):
    complete = True


def test_removed_records_are_left_out_unless_they_are_asked_for(web: Web, people: People) -> None:
    ingest_here(Complete([make_item(number) for number in (1, 2, 3)]))
    ingest_here(Complete([make_item(number) for number in (1, 3)]))

    def ask(query: str) -> tuple[int | None, list[str]]:
        page = web.ask(f"/api/v1/data?{query}", token=people.viewer).json()
        return page["count"], [row["external_id"] for row in page["data"]]

    for base in ("limit=50", f"source={SOURCE}", "count=exact&name=thing"):
        assert ask(base) == ask(f"{base}&removed=false") == (2, ["1", "3"])
        assert ask(f"{base}&removed=true") == (3, ["1", "2", "3"])
        assert ask(f"{base}&removed=only") == (1, ["2"])
    assert web.ask("/api/v1/data?removed=maybe", token=people.viewer).status == 400
    removed = UnifiedRecord.objects.get(external_id="2")
    assert web.ask(f"/api/v1/data/{removed.pk}", token=people.viewer).json()["removed_at"] is not None


def test_a_source_says_in_words_what_its_unified_fields_take(settings: Any, tmp_path: Path, people: People) -> None:
    settings.ETL_SOURCES = ["etl.sources.listings.Listings", "etl.sources.coinpaprika.CoinPaprikaTickers"]
    settings.STATIC_ROOT = str(tmp_path)  # whitenoise warns if the folder does not exist
    client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Token {people.viewer}"})
    sources = client.get("/api/v1/sources").json()["data"]
    listings, tickers = (each["unified"] for each in sorted(sources, key=lambda each: each["source"], reverse=True))
    assert (listings["name"], listings["category"]) == ("title", "department.name, in lower case")
    assert (tickers["value"], tickers["currency"]) == ("quotes.USD.price", "always USD")


def test_counts_speak_of_present_records(web: Web, people: People) -> None:
    ingest_here(Complete([make_item(number) for number in (1, 2, 3)]))
    ingest_here(Complete([make_item(number) for number in (1, 3)]))
    statistics = web.ask("/api/v1/stats", token=people.viewer).json()
    assert statistics["records_by_source"][SOURCE] == 2
    (checkpoint,) = statistics["checkpoints"]
    assert (checkpoint["record_count"], checkpoint["removed_count"]) == (2, 1)
    sources = web.ask("/api/v1/sources", token=people.viewer).json()["data"]
    (source,) = [each for each in sources if each["source"] == SOURCE]
    assert (source["records"], source["removed_records"]) == (2, 1)
