"""Log lines: ids connect request, task and run; no log, response or table reveals secrets or payloads."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from etl.models import Run
from kasparro.embedded import Servers
from tests.api.landed import land
from tests.api.people import People, make_session, make_token
from tests.api.web import SECRET_KEY, Web, serving
from tests.execution.test_workers import is_idle, make_sender, start_worker
from tests.factories import write_products
from tests.listed_source import fetch
from tests.processes import Project, test_database_url, wait_until

UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


def test_a_well_formed_request_id_is_kept_and_returned(web: Web, people: People) -> None:
    for given in ("mine", "A.b_c-9", "x" * 128, "3953e6cc-a911-4934-9709-c63ca0468f76"):
        answer = web.ask("/data", token=people.viewer, headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] == answer.json()["request_id"] == given
    seen = set()
    for given in ("", " ", "a b", "x" * 129, "<script>", "a\tb", "é", "a,b", "{}", "%00"):
        answer = web.ask("/data", headers={"X-Request-ID": given, "X-Correlation-ID": "canary-correlation"})
        made = answer.headers["x-request-id"]
        assert UUID.fullmatch(made), given
        assert answer.json()["request_id"] == made
        seen.add(made)
    assert len(seen) == 10
    for path in ("/health/live", "/static/nothing.js", "/api/docs/", "/admin/", "/api/v1/nowhere"):
        assert web.ask(path, headers={"X-Request-ID": "mine"}).headers["x-request-id"] == "mine", path
    assert "canary-correlation" not in web.log.read_text()


def test_a_request_leaves_one_line_with_its_user_and_its_path(web: Web, people: People) -> None:
    web.ask("/data?name=canary", token=people.viewer, headers={"X-Request-ID": "one-line"})
    web.ask("/api/v1/runs/7", headers={"X-Request-ID": "another"} | make_session("olga"))
    web.ask("/api/v1/%0aforged%1b[31m%ED%A0%80", headers={"X-Request-ID": "forged"})
    (line,) = (line for line in web.read_log() if line.get("request_id") == "one-line")
    ((vera,), (olga,)) = fetch("SELECT id FROM auth_user ORDER BY username DESC")
    assert (line["code"], line["request"], line["user_id"], line["ip"]) == (200, "GET /data", vera, "127.0.0.1")
    assert 0 < line["duration_ms"] < 60_000
    (line,) = (line for line in web.read_log() if line.get("request_id") == "another")
    assert (line["code"], line["user_id"]) == (404, olga)
    assert len([line for line in web.read_log() if line.get("request_id") == "forged"]) == 1


def test_request_task_and_run_are_connected_by_their_ids(
    people: People,
    workers: Project,
    valkey: Servers,
    tmp_path: Path,
) -> None:
    write_products(workers.folder / "products.csv", [(1, "One", "Things", 1, "x")])
    workers.environment |= {"PRODUCTS_CSV": str(workers.folder / "products.csv"), "LOG_FORMAT": "json"}
    with serving(tmp_path, REDIS_URL=valkey.redis_url()) as web:
        answer = web.ask(
            "/api/v1/runs",
            method="POST",
            token=people.operator,
            content={"source": "products_csv"},
            headers={"X-Request-ID": "chained"},
        )
        run_id = answer.json()["id"]
        queued = [
            line for line in web.read_log() if line.get("request_id") == "chained" and line.get("run_id") == run_id
        ]
    log = workers.folder / "worker.log"
    workers.prefix = ("sh", "-c", f'exec "$@" 2> {log}', "sh")
    worker = start_worker(workers)
    wait_until(lambda: is_idle(valkey))  # a task goes on after its run has closed
    with make_sender(valkey) as sender, broken("etl_runs", "error"):
        sender.send_task("etl.tasks.run", args=[run_id])
        wait_until(lambda: "task_failed" in log.read_text())
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    errors = log.read_text()
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert len(queued) == 1
    chained = [line for line in lines if line.get("request_id") == "chained"]
    assert run_id in {line.get("run_id") for line in chained}, errors
    (closing,) = (line for line in lines if f"run {run_id} is success" in line["event"])
    assert (closing["status"], closing["reason"], closing["seen"], closing["new"]) == ("success", "", 1, 1)
    assert [closing[name] for name in ("duplicate", "quarantined", "waiting")] == [0, 0, 0]
    assert closing["duration_s"] > 0
    assert len({line["task_id"] for line in chained}) == 1
    assert [(line["user_id"],) for line in chained[:1]] == fetch("SELECT id FROM auth_user WHERE username = 'olga'")
    (failed,) = (line for line in lines if line["event"] == "task_failed")
    assert failed["exception"] == "ProgrammingError"
    assert "SELECT" not in str(failed)


@contextmanager
def broken(table: str, column: str) -> Iterator[None]:
    """Rename a column of a table within this context."""
    fetch(f"ALTER TABLE {table} RENAME COLUMN {column} TO other; SELECT 1")
    try:
        yield
    finally:
        fetch(f"ALTER TABLE {table} RENAME COLUMN other TO {column}; SELECT 1")


CANARIES = {
    "payload": "canary-of-a-payload",
    "COINGECKO_API_KEY": "canary-of-an-api-key",
    "password": "canary-of-a-password",
    "header": "canary-of-a-header",
    "SECRET_KEY": SECRET_KEY,
}
SILENT_TABLES = (
    *("etl_runs", "etl_run_events", "etl_run_keys", "ingestion_checkpoints", "etl_totals", "schema_snapshots"),
    *("schema_changes", "api_tokens", "auth_user", "django_celery_beat_periodictask"),
)


def dump(table: str) -> str:
    return "\n".join(row[0] for row in fetch(f"SELECT t::text FROM {table} AS t"))


def ask_for_trouble(web: Web, people: People) -> Iterator[str]:
    """Send valid and invalid requests with canaries, and yield the bodies of responses that must not show them."""
    payload, session = CANARIES["payload"], make_session("olga", has_csrf=True)
    secret = make_token("vera")
    wrong = f"kasparro_{CANARIES['header']}"
    for headers in (
        {"X-API-Key": people.viewer},
        {"X-API-Key": wrong},
        {"Cookie": f"sessionid={CANARIES['header']}"},
        session,
    ):
        sent = {**headers, "User-Agent": "tests", "Referer": f"http://127.0.0.1/{secret}"}
        for path in (
            "/stats",
            "/health",
            "/metrics",
            "/api/v1/sources",
            "/api/v1/checkpoints",
            "/api/v1/runs",
            "/api/docs/",
        ):
            yield web.ask(path, headers=sent).text
        web.ask(f"/data?name={payload}", headers=sent)
        web.ask(f"/data?nonsense={payload}", headers=sent)
    for body in (payload, json.dumps({"source": payload}), json.dumps({payload: secret})):
        web.ask(
            "/api/v1/runs",
            method="POST",
            token=people.operator,
            body=body,
            headers={"Content-Type": "application/json"},
        )
    yield web.ask("/api/session/login/", method="POST", headers=session, body=f"username=olga&password={payload}").text


def test_no_secret_and_no_payload_leaks(people: People, project: Project, tmp_path: Path) -> None:
    payload = CANARIES["payload"]
    path = project.folder / "products.csv"
    variables = {
        "COINGECKO_API_KEY": CANARIES["COINGECKO_API_KEY"],
        "DATABASE_URL": test_database_url().replace("@", f":{CANARIES['password']}@", 1),
        "PRODUCTS_CSV": str(path),
        "LOG_FORMAT": "json",
        "SECRET_KEY": SECRET_KEY,
    }
    logs, shown = [], []
    with serving(tmp_path, **variables) as web:
        troubles: tuple[AbstractContextManager[None], ...] = (
            nullcontext(),
            broken("unified_records", "category"),
            broken("etl_runs", "error"),
        )
        for number, trouble in enumerate(troubles, start=1):
            rows = [(n, payload, "Things", 1, "x") for n in range(1, 3 * number)]
            write_products(path, [*rows, (90 + number, payload, payload, payload, payload)])
            with trouble:
                done = project.run("ingest", "products_csv", **variables)
                logs.append(done.stdout + done.stderr)
                shown += list(ask_for_trouble(web, people))
                answers = [web.ask(address, token=people.viewer) for address in ("/data", "/api/v1/runs")]
                shown += [answer.text for answer in answers if answer.status == 500]
        logs.append(web.log.read_text())
    assert len([text for text in shown if '"status": 500' in text]) >= 2
    assert Run.objects.filter(status="failed").exists()
    assert payload in dump("unified_records")
    places: dict[str, str] = {
        **{f"log {number}": log for number, log in enumerate(logs)},
        **{f"response {number}": text for number, text in enumerate(shown)},
        **{table: dump(table) for table in SILENT_TABLES},
    }
    secrets: dict[str, str] = {**CANARIES, "viewer": people.viewer, "operator": people.operator}
    for place, text in places.items():
        for name, canary in secrets.items():
            assert canary not in text, (place, name, text[max(0, text.find(canary) - 300) :][:600])


def test_a_bug_is_a_500_without_details_and_a_log_line_with_its_place(web: Web, people: People) -> None:
    land()
    with broken("unified_records", "category"):
        answer = web.ask("/data?name=canary", token=people.viewer, headers={"X-Request-ID": "defect"})
    assert (answer.status, answer.content_type) == (500, "application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert (problem["request_id"], problem["type"]) == ("defect", "urn:kasparro:problem:internal_error")
    assert not any(word in answer.text for word in ("category", "SELECT", "psycopg2", "Traceback", "canary"))
    (line,) = (line for line in web.read_log() if line.get("request_id") == "defect")
    assert (line["event"], line["exception"]) == ("request_failed", "ProgrammingError")
    assert any("record_queries.py" in place for place in line["places"])
    assert web.ask("/data", token=people.viewer).status == 200


def test_a_log_line_for_operators_has_a_traceback_without_variables(people: People, tmp_path: Path) -> None:
    with serving(tmp_path, LOG_FORMAT="line") as web, broken("unified_records", "category"):
        assert web.ask("/data?external_id=canary-of-a-filter", token=people.viewer).status == 500
        log = web.log.read_text()
    assert "Traceback" in log
    assert "record_queries.py" in log
    assert not any(word in log for word in ("canary-of-a-filter", people.viewer, SECRET_KEY, "locals"))
