"""Alerts are rows of the closing transaction, one per change of a standing, sent at least once to each receiver."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core import mail
from django.db import connections, transaction
from django.db.models import Q

from etl import pruning, tasks
from etl.clock import from_now, read_clock
from etl.execution import sweep as sweeping
from etl.gates import GateFailure
from etl.http import webhooks
from etl.http.webhooks import NotDelivered, parse_webhook, post
from etl.models import Alert, AnnouncedStanding, Checkpoint, JudgedRead, Run
from etl.runs import alert_sending, alerts, ending, orders, schedule
from etl.runs.alerts import GRAVITY, Observation, follow
from etl.runs.standings import Announced
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import Reason, StandingWord, Trigger
from kasparro.embedded import Servers
from tests.execution.test_workers import start_worker
from tests.listed_source import Listed, fetch, ingest_here, make_item
from tests.processes import Project, wait_until
from tests.single_steps import start

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "the-secret-of-the-tests"
HOUR = timedelta(hours=1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Hourly(Listed):
    """A source that is due every hour."""


@dataclass
class Hook:
    """A webhook that answers with `status`, after dripping for `drip` seconds; `got` has (headers, body)."""

    status: int = 200
    drip: float = 0
    got: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    address: str = ""

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.got.append((dict(self.headers), body))
            ends_at = time.monotonic() + hook.drip
            while time.monotonic() < ends_at:
                self.wfile.write(b"H")
                time.sleep(0.1)
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        hook.address = f"http://127.0.0.1:{server.server_address[1]}/services/T0/s3cret-path"
        yield hook
        server.shutdown()


@pytest.fixture(autouse=True)
def receivers(settings: Any, hook: Hook) -> None:
    settings.ETL_SOURCES = ["tests.runs.test_alert_rows.Hourly"]
    settings.ALERT_WEBHOOKS = [hook.address]
    settings.ALERT_WEBHOOK_SECRET = SECRET


def fail(reason: Reason = Reason.SOURCE_UNREACHABLE) -> int:
    claim = start().claim
    ending.end(claim, ending.failed(reason, "No answer from https://example.org."))
    return claim.run_id


def succeed() -> None:
    ingest_here(Listed([make_item(1)]))


def list_kinds() -> list[str]:
    return list(Alert.objects.order_by("pk").values_list("kind", flat=True))


def make_due() -> None:
    Alert.objects.update(next_at=from_now(-1))


# --- which changes are announced ------------------------------------------------------------------------
def list_kinds_of(*words: str) -> list[str]:
    """The alerts of a source that has these standings after one run each."""
    announced, kinds = Announced(), []
    for number, word in enumerate(words):
        seen = Observation(StandingWord(word), NOON + number * HOUR, is_run=True)
        announced, kind = follow(announced, seen)
        kinds += [str(kind)] if kind is not None else []
    return kinds


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (("fine", "fine"), []),
        (("failing", "failing", "failing"), ["failing"]),
        (("failing", "fine"), ["failing"]),
        (("failing", "fine", "fine", "fine"), ["failing", "recovered"]),
        (("failing", "fine", "failing", "fine", "failing", "fine"), ["failing"]),
        (("failing", "refusing", "fine"), ["failing", "recovered"]),
        (("failing", "fine", "refusing", "refusing"), ["failing", "refusing"]),
        (("refusing", "refusing", "failing"), ["refusing", "failing"]),
        (("refusing", "held", "failing"), ["refusing", "held", "failing"]),
        (("held", "fine", "fine", "held"), ["held", "recovered", "held"]),
        (("failing", "paused", "never run", "failing"), ["failing"]),
        (("failing", "fine", "paused", "fine"), ["failing", "recovered"]),
    ],
)
def test_a_change_is_announced_once_and_a_recovery_after_two_runs(words: tuple[str, ...], kinds: list[str]) -> None:
    assert list_kinds_of(*words) == kinds


@pytest.mark.parametrize(("hours", "kind"), [(0.9, None), (1, "recovered")])
def test_a_recovery_is_announced_after_an_interval_too(hours: float, kind: str | None) -> None:
    announced = Announced(StandingWord.LATE, milder_since=NOON, milder_runs=1)
    _, found = follow(announced, Observation(StandingWord.FINE, NOON + hours * HOUR, every=HOUR))
    assert found == kind


def test_every_standing_that_an_alert_can_announce_has_its_gravity() -> None:
    assert set(StandingWord) - set(GRAVITY) == {"paused", "never run"}


# --- the rows -------------------------------------------------------------------------------------------
def test_a_run_that_is_not_closed_leaves_no_alert() -> None:
    started = start()
    with bounded_transaction() as cursor:
        run = started.claim.run_id
        ending.write_ending(cursor, "listed", ending.failed(Reason.TIMED_OUT, ""), run)
        assert list_kinds() == ["failing"]
        transaction.set_rollback(True)
    assert list_kinds() == []


def test_an_alert_that_cannot_be_written_does_not_keep_the_run_open(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def refuse(*arguments: Any) -> None:
        fetch("SELECT 1 / 0")

    monkeypatch.setattr("etl.runs.alerts.save_announced", refuse)
    run_id = fail()
    assert Run.objects.get(pk=run_id).status == "failed"
    assert (list_kinds(), "could not be written" in caplog.text) == ([], True)


def test_drift_is_announced_with_its_changes() -> None:
    succeed()
    ingest_here(Listed([make_item(number, colour="red") for number in range(9)]))
    (alert,) = Alert.objects.all()
    assert (alert.kind, alert.standing, alert.state) == ("drift", "fine", "sent")
    assert "- colour added (text, never null)" in alert.text


def test_a_verdict_that_waits_is_announced() -> None:
    claim = start().claim
    JudgedRead.objects.create(
        source="listed", number=1, run_id=claim.run_id, content="", fingerprint="", is_proven=True, is_whole=True,
        is_complete=False, outcome="held", begun_at=read_clock(),
    )  # fmt: skip
    verdict = [GateFailure(Reason.SHRUNKEN, 1, 5, "1 record instead of at least 5.")]
    Checkpoint.objects.update(judged_read=1)
    ending.end(claim, ending.judged(verdict, 0))
    (alert,) = Alert.objects.all()
    assert (alert.kind, alert.subject) == ("held", "A read of listed needs a decision")
    assert "- 1 record instead of at least 5." in alert.text


def test_lateness_is_announced_by_the_sweeper_once() -> None:
    schedule.make_missing_entry(Hourly())
    AnnouncedStanding.objects.update(scheduled_since=read_clock() - 5 * HOUR)
    for _ in range(2):
        sweeping.sweep()
    (alert,) = Alert.objects.all()
    assert (alert.kind, alert.run_id, alert.state) == ("late", None, "waiting")
    assert "The first due time without a successful run was" in alert.text


def test_a_late_source_recovers_after_an_interval_in_which_no_run_is_open() -> None:
    schedule.make_missing_entry(Hourly())
    AnnouncedStanding.objects.update(announced="late")
    succeed()
    AnnouncedStanding.objects.update(milder_since=read_clock() - 2 * HOUR)
    orders.queue("listed", key="open", trigger=Trigger.API, by="a test")
    sweeping.sweep()
    assert list_kinds() == []
    Run.objects.filter(status="queued").update(status="failed", reason="cancelled", finished_at=read_clock())
    with bounded_transaction() as cursor:
        alerts.note_standing(cursor, Hourly())
    assert list_kinds() == ["recovered"]


def test_without_receivers_an_alert_is_kept_and_never_sent(settings: Any, hook: Hook) -> None:
    settings.ALERT_WEBHOOKS, settings.ADMINS = [], []
    fail()
    settings.ALERT_WEBHOOKS = [hook.address]
    alert_sending.send_waiting()
    assert (Alert.objects.get().state, hook.got) == ("no_receiver", [])


def test_an_alert_whose_receivers_were_removed_from_the_settings_is_not_sent(settings: Any, hook: Hook) -> None:
    hook.status = 503
    fail()
    settings.ALERT_WEBHOOKS = []
    make_due()
    alert_sending.send_waiting()
    assert (Alert.objects.get().state, len(hook.got)) == ("no_receiver", 1)


# --- the delivery ---------------------------------------------------------------------------------------
def test_a_webhook_gets_signed_json(hook: Hook) -> None:
    run_id = fail()
    ((headers, body),) = hook.got
    alert, sent = Alert.objects.get(), json.loads(body)
    assert (sent["id"], headers["Kasparro-Id"]) == (str(alert.event_id), str(alert.event_id))
    expected = hmac.new(SECRET.encode(), f"{headers['Kasparro-Timestamp']}.".encode() + body, hashlib.sha256)
    assert headers["Kasparro-Signature"] == f"sha256={expected.hexdigest()}"
    assert abs(int(headers["Kasparro-Timestamp"]) - time.time()) < 600
    assert {name: sent[name] for name in ("kind", "source", "standing", "previous")} == {
        "kind": "failing",
        "source": "listed",
        "standing": "failing",
        "previous": "fine",
    }
    assert (sent["run"]["id"], sent["run"]["reason"]) == (run_id, "source_unreachable")
    assert alert.state == "sent"


def test_slack_gets_only_text_without_its_control_characters(settings: Any, hook: Hook) -> None:
    settings.ALERT_WEBHOOKS = [f"slack+{hook.address}"]
    ending.end(start().claim, ending.failed(Reason.SOURCE_REFUSED, "<!channel> & more"))
    (sent,) = hook.read()
    assert sent.keys() == {"text"}
    assert "&lt;!channel&gt; &amp; more" in sent["text"]


def test_an_address_at_slack_needs_no_mark() -> None:
    assert parse_webhook("https://hooks.slack.com/services/x").is_slack
    assert not parse_webhook("https://example.org/hooks.slack.com").is_slack


def test_a_receiver_that_refuses_gets_it_again_and_the_others_do_not(settings: Any, hook: Hook) -> None:
    settings.ADMINS = [("Ann", "ann@example.org")]
    hook.status = 503
    fail()
    alert = Alert.objects.get()
    assert (alert.state, alert.sent_to, alert.attempts, alert.error) == (
        "waiting",
        ["mail"],
        1,
        "127.0.0.1: status 503",
    )
    assert alert.next_at > read_clock()
    alert_sending.send_waiting()
    assert len(hook.got) == 1
    hook.status = 204
    make_due()
    tasks.send_alerts()
    assert (len(mail.outbox), len({sent["id"] for sent in hook.read()}), len(hook.got)) == (1, 1, 2)
    alert.refresh_from_db()
    assert (alert.state, len(alert.sent_to)) == ("sent", 2)


def test_an_alert_is_given_up_after_a_day_and_that_is_seen(hook: Hook, caplog: Any) -> None:
    hook.status = 500
    fail()
    Alert.objects.update(created_at=from_now(-90_000))
    make_due()
    alert_sending.send_waiting()
    assert Alert.objects.get().state == "given_up"
    assert "is given up: 127.0.0.1: status 500" in caplog.text
    make_due()
    alert_sending.send_waiting()
    assert len(hook.got) == 2


def test_an_alert_whose_sender_died_is_sent_by_another(hook: Hook) -> None:
    hook.status = 500
    fail()
    hook.status = 200
    make_due()
    assert alert_sending._claim(Q(), seconds=60) is not None  # and its process dies
    alert_sending.send_waiting()
    assert len(hook.got) == 1
    make_due()
    assert alert_sending.has_waiting()
    alert_sending.send_waiting()
    assert len(hook.got) == 2


def test_two_senders_do_not_send_the_same_alert(hook: Hook) -> None:
    hook.status = 500
    fail()
    make_due()
    with bounded_transaction():
        Alert.objects.select_for_update().get()
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(claim_elsewhere()))
        thread.start()
        thread.join()
    assert found == [None]


def claim_elsewhere() -> Any:
    try:
        return alert_sending._claim(Q(), seconds=60)
    finally:
        connections.close_all()


def test_no_secret_is_stored_or_logged(hook: Hook, caplog: Any) -> None:
    hook.status = 500
    fail()
    stored = str(fetch("SELECT etl_alerts::text FROM etl_alerts"))
    assert "s3cret-path" not in stored + caplog.text
    assert SECRET not in stored + caplog.text + hook.got[0][1].decode()
    assert "127.0.0.1: status 500" in caplog.text


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/s3cret", "http://u:s3cret@nowhere.invalid/"])
def test_a_webhook_that_is_down_is_named_by_its_host(address: str) -> None:
    webhook = parse_webhook(address)
    with pytest.raises(NotDelivered) as raised:
        post(webhook, b"{}", event_id="1", at=NOON, secret="")
    assert str(raised.value).startswith(f"{webhook.host}: ")
    assert "s3cret" not in str(raised.value)


def test_a_webhook_that_drips_is_left_at_the_deadline(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 0.5)
    hook.drip = 60
    began = time.monotonic()
    with pytest.raises(NotDelivered):
        post(parse_webhook(hook.address), b"{}", event_id="1", at=NOON, secret="")
    assert time.monotonic() - began < 30


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.status = 302
    with pytest.raises(NotDelivered, match="status 302"):
        post(parse_webhook(hook.address), b"{}", event_id="1", at=NOON, secret="")


def test_old_alerts_are_pruned_but_not_those_that_wait(hook: Hook) -> None:
    fail()
    hook.status = 500
    AnnouncedStanding.objects.all().delete()
    fail()
    Alert.objects.update(created_at=from_now(-100 * 86_400))
    policy = pruning.Policy(events_days=90)
    assert pruning.prune(policy, is_dry_run=True).rows["etl_alerts", "listed"] == 1
    assert pruning.prune(policy).rows["etl_alerts", "listed"] == 1
    assert Alert.objects.get().state == "waiting"


@pytest.mark.parametrize("address", ["ftp://example.org/s3cret", "s3cret", "https://:s3cret", "http://x:s3cret/"])
def test_an_address_that_cannot_be_used_is_found_by_check(project: Project, address: str) -> None:
    done = project.run("check", ALERT_WEBHOOKS=f"https://example.org/a,{address}")
    assert done.returncode == 1
    assert "ALERT_WEBHOOKS" in done.stderr
    assert "s3cret" not in done.stderr


def test_webhooks_without_a_key_are_a_warning(project: Project) -> None:
    done = project.run("check", ALERT_WEBHOOKS="https://example.org/a", ALERT_WEBHOOK_SECRET="")
    assert (done.returncode, "(etl.W001)" in done.stderr) == (0, True)
    for address in ("https://hooks.slack.com/services/x", "slack+https://example.org/a"):
        assert "W001" not in project.run("check", ALERT_WEBHOOKS=address).stderr


def test_a_worker_sends_the_alert_of_the_run_that_it_closed(project: Project, valkey: Servers, hook: Hook) -> None:
    project.environment |= {
        "REDIS_URL": valkey.redis_url(),
        "ETL_SOURCES": "etl.sources.products.ProductsCsv",
        "PRODUCTS_CSV": str(project.folder / "nowhere.csv"),
        "ALERT_WEBHOOKS": hook.address,
    }
    (outcome,) = project.ingest("products_csv", "--queue")
    start_worker(project)
    wait_until(lambda: Alert.objects.filter(state="sent").exists())
    (sent,) = hook.read()
    assert (sent["kind"], sent["run"]["id"]) == ("failing", outcome["run"])
