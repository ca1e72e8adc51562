"""Runs are requested, cancelled and compared over HTTP; refused records are replayed and discarded."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User

from etl.execution.executor import execute_queued as work
from etl.models import Checkpoint, QuarantinedRecord, Run, RunEvent, SchemaChange
from etl.reports.verification import verify
from etl.runs import orders
from etl.runs.options import Options
from etl.storage.driver import open_session
from etl.vocabulary import Trigger
from tests.admin.rows import make_refused
from tests.api.landed import SOURCE, land
from tests.api.people import People, make_token
from tests.api.walks import walk_rows
from tests.api.web import Answer, Web, serving
from tests.factories import make_products, write_products
from tests.gated_source import gated
from tests.laws.test_crashes import landed_batches, products_file
from tests.listed_source import fetch
from tests.processes import Project, test_database_url, wait_until

PLAIN = {"source": "products_csv"}


def order(web: Web, people: People, content: Any = PLAIN, key: str | None = None) -> Answer:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return web.ask("/api/v1/runs", method="POST", token=people.operator, content=content, headers=headers)


def post(web: Web, people: People, address: str) -> Answer:
    return web.ask(f"/api/v1/{address}", method="POST", token=people.operator)


def test_a_requested_run_is_queued_and_its_address_returned(web: Web, people: People) -> None:
    answer = order(web, people)
    assert answer.status == 202
    run = Run.objects.get()
    assert (run.source, run.status, run.trigger, run.options) == ("products_csv", "queued", "api", {})
    assert urlsplit(answer.headers["location"]).path == f"/api/v1/runs/{run.pk}"
    assert (answer.json()["id"], answer.json()["address"]) == (run.pk, answer.headers["location"])
    assert web.follow(answer.headers["location"], token=people.viewer).json()["status"] == "queued"
    (event,) = web.ask(f"/api/v1/runs/{run.pk}/events", token=people.viewer).json()["data"]
    assert (event["kind"], "olga" in event["message"]) == ("queued", True)


def test_a_run_shows_how_many_pages_it_has_read_and_the_share_of_its_content(web: Web, people: People) -> None:
    order(web, people)
    Run.objects.update(cursor_after={"pages": 4, "position": 30, "total": 120})
    run = web.ask(f"/api/v1/runs/{Run.objects.get().pk}", token=people.viewer).json()
    assert (run["pages"], run["share"]) == (4, 0.25)


def test_twenty_concurrent_requests_with_one_key_are_one_run(web: Web, people: People) -> None:
    content = {"source": "products_csv", "full": True}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: order(web, people, content, "the-key"), range(20)))
    assert {answer.status for answer in answers} == {202}
    assert {answer.json()["id"] for answer in answers} == {Run.objects.get().pk}
    assert Run.objects.get().key.endswith(":the-key")


def test_a_key_belongs_to_its_user(web: Web, people: People) -> None:
    content = {"source": "products_csv", "full": True}
    ours = [order(web, people, content, "k").json()["id"] for _ in range(2)]
    theirs = order(web, People(people.viewer, make_token("otto", scope="operate")), content, "k").json()["id"]
    again = order(web, People(people.viewer, make_token("olga", scope="operate")), content, "k").json()["id"]
    assert ours == [again, again]
    assert theirs != again


def test_a_key_from_before_an_upgrade_still_gives_its_user_its_run(web: Web, people: People) -> None:
    how: dict[str, Any] = {"trigger": Trigger.API, "options": Options(full=True)}
    former = orders.queue("products_csv", key="api:old", by="olga through the API", **how)
    content = {"source": "products_csv", "full": True}
    assert order(web, people, content, "old").json()["id"] == former.pk
    other = People(people.viewer, make_token("otto", scope="operate"))
    assert order(web, other, content, "old").json()["id"] != former.pk


def test_an_unknown_source_is_refused_on_every_list_and_the_known_ones_are_named(web: Web, people: People) -> None:
    land()
    lists = ("data", "changes", "runs", "quarantine", "schema-snapshots", "schema-changes")
    for address in lists:
        answer = web.ask(f"/api/v1/{address}?source=product_csv", token=people.viewer)
        assert answer.status == 400, address
        assert "Known sources: products_csv, vendors_csv, listed, changing." in answer.json()["detail"], address
        assert web.ask(f"/api/v1/{address}?source=vendors_csv", token=people.viewer).status == 200, address


def test_a_key_is_for_one_request(web: Web, people: People) -> None:
    first = order(web, people, key="k")
    assert order(web, people, {"source": "products_csv", "full": False}, key="k").json()["id"] == first.json()["id"]
    for other in ({"source": "products_csv", "full": True}, {"source": "vendors_csv"}):
        refused = order(web, people, other, key="k")
        assert (refused.status, refused.content_type) == (409, "application/problem+json")
    assert Run.objects.count() == 1


def test_a_key_returns_its_run_even_after_it_is_closed(web: Web, people: People) -> None:
    first = order(web, people, key="k").json()["id"]
    assert post(web, people, f"runs/{first}/cancel").status == 200
    assert order(web, people, key="k").json() | {"address": ""} == (
        web.ask(f"/api/v1/runs/{first}", token=people.viewer).json() | {"address": ""}
    )
    assert order(web, people, key="another").json()["id"] != first


def test_a_plain_request_returns_the_waiting_run_and_a_full_one_queues_a_new_run(web: Web, people: People) -> None:
    plain = [order(web, people).json()["id"] for _ in range(3)]
    full = [order(web, people, {"source": "products_csv", "full": True}).json()["id"] for _ in range(2)]
    assert (len(set(plain)), len(set(full))) == (1, 2)


def test_without_a_broker_a_run_is_still_queued(people: People, tmp_path: Path) -> None:
    with serving(tmp_path, REDIS_URL="redis://127.0.0.1:1/0") as web:
        began = time.monotonic()
        assert order(web, people).status == 202
        assert time.monotonic() - began < 20
    assert Run.objects.get().sent_at is None


def test_a_waiting_run_is_cancelled_and_a_closed_one_is_not(web: Web, people: People) -> None:
    run_id = order(web, people).json()["id"]
    answer = post(web, people, f"runs/{run_id}/cancel")
    assert (answer.status, answer.json()["status"], answer.json()["reason"]) == (200, "failed", "cancelled")
    assert post(web, people, f"runs/{run_id}/cancel").status == 409
    assert post(web, people, "runs/999999/cancel").status == 404


def test_a_running_run_is_cancelled_within_a_batch_and_releases_its_source(
    web: Web, people: People, project: Project
) -> None:
    products_file(project)
    with gated(project):
        process = project.start("ingest", "products_csv")
        wait_until(lambda: landed_batches() >= 3)
        answer = post(web, people, f"runs/{Run.objects.get().pk}/cancel")
        landed = landed_batches()
    assert (answer.status, answer.json()["status"], answer.json()["reason"]) == (200, "failed", "cancelled")
    checkpoint = Checkpoint.objects.get()
    assert (checkpoint.owner_run, checkpoint.lease_expires_at) == (None, None)
    process.communicate(timeout=60)
    assert landed_batches() == landed
    assert verify() == []


def test_a_cancel_waits_for_the_current_batch_and_blocks_no_other_request(
    web: Web, people: People, project: Project
) -> None:
    write_products(project.folder / "products.csv", list(make_products(3)))
    project.ingest("products_csv", PRODUCTS_CSV=str(project.folder / "products.csv"))
    run_id = order(web, people).json()["id"]
    with open_session(test_database_url()) as session, session.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("SELECT FROM ingestion_checkpoints FOR UPDATE")
        cancelling = pool.submit(post, web, people, f"runs/{run_id}/cancel")
        time.sleep(0.8)
        assert web.ask("/data", token=people.viewer).status == 200
        assert not cancelling.done()
        session.rollback()
        assert cancelling.result().json()["reason"] == "cancelled"


def test_a_refused_record_is_replayed_in_its_own_run(web: Web, people: People, settings: Any) -> None:
    settings.ETL_SOURCES = ["tests.listed_source.Listed"]
    landed = land()
    Run.objects.filter(pk=landed.queued).delete()
    answer = post(web, people, f"quarantine/{landed.refused}/replay")
    assert answer.status == 202
    run = Run.objects.get(pk=answer.json()["id"])
    assert (run.trigger, run.source, run.status) == ("replay", SOURCE, "queued")
    assert post(web, people, f"quarantine/{landed.refused}/replay").json()["id"] == run.pk
    work(run.pk)
    shown = web.follow(answer.headers["location"], token=people.viewer).json()
    assert (shown["status"], shown["seen"], shown["quarantined"]) == ("partial", 1, 1)
    assert web.ask(f"/api/v1/quarantine/{landed.refused}", token=people.viewer).json()["status"] == "open"
    assert verify() == []


def test_a_run_shows_how_many_of_its_refused_records_only_wait(web: Web, people: People) -> None:
    run_id = QuarantinedRecord.objects.get(pk=land().refused).run_id
    Run.objects.filter(pk=run_id).update(waiting=1)
    shown = web.ask(f"/api/v1/runs/{run_id}", token=people.viewer).json()
    assert (shown["waiting"], shown["quarantined"]) == (1, 1)


def test_a_refused_record_is_discarded_once_and_counted(web: Web, people: People) -> None:
    landed = land()
    before = QuarantinedRecord.objects.filter(status="open").count()
    answer = post(web, people, f"quarantine/{landed.refused}/discard")
    assert (answer.status, answer.json()["status"]) == (200, "discarded")
    assert post(web, people, f"quarantine/{landed.refused}/discard").status == 409
    assert post(web, people, f"quarantine/{landed.refused}/replay").status == 409
    stats = web.ask("/stats", token=people.viewer).json()
    assert stats["quarantined_by_source"][SOURCE] == before - 1
    assert verify() == []


def test_only_the_first_acknowledgement_is_kept(web: Web, people: People) -> None:
    landed = land()
    first = post(web, people, f"schema-changes/{landed.change}/acknowledge")
    assert (first.status, first.json()["acknowledged_by"]) == (200, "olga")
    User.objects.filter(username="olga").update(username="olga2")
    assert (
        post(web, people, f"schema-changes/{landed.change}/acknowledge").json()["acknowledged_at"]
        == (first.json()["acknowledged_at"])
    )
    listed = {
        given: [
            row["id"]
            for row in web.ask(f"/api/v1/schema-changes?acknowledged={given}", token=people.viewer).json()["data"]
        ]
        for given in ("true", "false")
    }
    assert listed == {
        "true": [landed.change],
        "false": list(SchemaChange.objects.exclude(pk=landed.change).order_by("-pk").values_list("pk", flat=True)),
    }


def test_lists_are_filtered_and_newest_first(web: Web, people: People) -> None:
    landed = land()

    def ids(address: str) -> list[int]:
        return [row["id"] for row in web.ask(f"/api/v1/{address}", token=people.viewer).json()["data"]]

    runs = list(Run.objects.order_by("-pk").values_list("pk", flat=True))
    first, second = runs[-1], runs[-2]
    started = Run.objects.get(pk=second).started_at
    assert started is not None
    instant = started.isoformat().replace("+00:00", "Z")
    assert ids("runs") == runs
    assert ids("runs?status=partial") == [second, first]
    assert ids("runs?status=queued&trigger=api") == [landed.queued]
    assert ids("runs?reason=records_refused") == [second, first]
    assert ids("runs?source=vendors_csv") == []
    assert ids(f"runs?started_after={instant}") == [second]
    assert ids(f"runs?started_before={instant}") == [first]
    quarantined = list(QuarantinedRecord.objects.order_by("-pk").values_list("pk", flat=True))
    assert ids("quarantine") == [landed.refused]
    assert ids("quarantine?status=all") == quarantined
    assert ids(f"quarantine?status=all&run={first}") == [
        q for q in quarantined if QuarantinedRecord.objects.get(pk=q).run_id == first
    ]
    assert ids("quarantine?code=not_a_number&status=all") == quarantined
    assert ids("quarantine?status=discarded") == []
    events = list(RunEvent.objects.filter(run=second).order_by("pk").values_list("pk", flat=True))
    assert ids(f"runs/{second}/events") == events


def test_refused_records_that_are_gone_are_listed_only_if_they_are_asked_for(web: Web, people: People) -> None:
    numbers = dict(enumerate(("open", "gone", "landed", "gone", "discarded", "open"), 1))
    made = {make_refused(number, status=status).pk: status for number, status in numbers.items()}

    def statuses(query: str) -> list[str]:
        rows = walk_rows(web, f"/api/v1/quarantine?limit=1{query}", people.viewer)
        assert all(made[row["id"]] == row["status"] for row in rows)
        return [row["status"] for row in rows]

    assert statuses("") == ["open", "discarded", "landed", "open"]
    assert statuses("&code=not_a_number") == ["open", "discarded", "landed", "open"]
    assert statuses("&status=gone") == ["gone", "gone"]
    assert statuses("&status=all") == ["open", "discarded", "gone", "landed", "gone", "open"]


def test_runs_are_compared_side_by_side(web: Web, people: People) -> None:
    land()
    second, first = fetch("SELECT id FROM etl_runs WHERE status = 'partial' ORDER BY id DESC")
    compared = web.ask(f"/api/v1/compare-runs?run_a={first[0]}&run_b={second[0]}", token=people.viewer).json()
    assert (compared["run_a"]["new"], compared["run_b"]["updated"]) == (2, 2)
    assert compared["differences"]["new"] == {"a": 2, "b": 0, "difference": -2, "ratio": 0.0}
    assert "colour" in compared["differences"]["shape"]


def test_a_window_is_requested_and_shown_on_its_run(web: Web, people: People) -> None:
    content = {"source": "changing", "since": "2024-01-01T02:00:00+02:00"}
    answers = [order(web, people, content, "a-window") for _ in range(2)]
    assert [answer.json()["options"] for answer in answers] == [{"since": "2024-01-01T00:00:00+00:00"}] * 2
    assert order(web, people, {"source": "changing"}, "a-window").status == 409
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"source": "products_csv", "since": "2024-01-01"}, "since"),
        ({"source": "changing", "since": "soon"}, "since"),
        ({"source": "changing", "since": 2024}, "since"),
        ({"source": "changing", "since": "2024-01-01", "until": "2024-02-01"}, "until"),
        ({"source": "changing", "since": "2024-01-01", "full": True}, "full"),
    ],
)
def test_a_window_that_can_not_be_fetched_is_refused_by_field(
    web: Web, people: People, content: dict[str, Any], field: str
) -> None:
    answer = order(web, people, content)
    assert (answer.status, field in answer.text) == (400, True), answer.text
    assert not Run.objects.exists()
