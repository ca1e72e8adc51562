"""Mail to ADMINS: one alert a change of a source's standing, from any number of processes."""

import re
import smtplib
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core import mail
from django.db import connection, connections

from etl.execution import sweep as sweeping
from etl.models import Run
from etl.runs import alert_sending, ending, orders
from etl.runs.alert_texts import RUNBOOK
from etl.runs.options import Options
from etl.vocabulary import Reason, Status, Trigger
from tests.factories import make_products, write_products
from tests.laws.test_attacks import count_waiting
from tests.listed_source import Listed, ingest_here, make_item
from tests.processes import ROOT, Project, wait_until
from tests.single_steps import end_lease, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def administrators(settings: Any) -> None:
    settings.ADMINS = [("Ann", "ann@example.org")]
    settings.ETL_SOURCES = ["tests.runs.test_orders.Ordered"]


def fail(reason: Reason = Reason.SOURCE_UNREACHABLE, source: str = "listed") -> int:
    claim = start(source).claim
    ending.end(claim, ending.failed(reason, "No answer from https://example.org."))
    return claim.run_id


def succeed() -> None:
    ingest_here(Listed([make_item(1)]))


def subjects() -> list[str]:
    return [str(message.subject) for message in mail.outbox]


HELD = 20_261_122  # an advisory lock
FAILS = "[Kasparro] listed is failing: source_unreachable"
WELL = "[Kasparro] listed has recovered"
REFUSES = "[Kasparro] listed has refused records"


def test_the_first_failure_and_the_recovery_are_mailed_and_nothing_between() -> None:
    succeed()
    for _ in range(3):
        fail()
    assert subjects() == [FAILS]
    succeed()
    assert subjects() == [FAILS]
    succeed()
    succeed()
    assert subjects() == [FAILS, WELL]
    fail()
    assert subjects() == [FAILS, WELL, FAILS]


def test_a_source_that_fails_every_other_time_is_mailed_once() -> None:
    for _ in range(3):
        fail()
        succeed()
    assert subjects() == [FAILS]


def test_a_source_that_fails_in_its_very_first_run_is_mailed() -> None:
    fail()
    assert subjects() == [FAILS]


def test_a_source_that_never_failed_is_not_mailed() -> None:
    succeed()
    succeed()
    assert mail.outbox == []


def test_refused_records_are_mailed_once_and_are_no_failure() -> None:
    for price in "xyz":
        ingest_here(Listed([make_item("bad", price=price)]))
    assert subjects() == [REFUSES]
    fail()
    for price in "xyz":
        ingest_here(Listed([make_item("bad", price=price)]))
    assert subjects() == [REFUSES, FAILS, REFUSES]


def test_each_source_is_mailed_separately() -> None:
    fail()
    fail(source="other")
    assert len(subjects()) == 2


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.RELEASED, Reason.INTERRUPTED])
def test_a_run_that_an_operator_stopped_is_ignored(reason: Reason) -> None:
    succeed()
    fail(reason)
    assert mail.outbox == []
    fail()
    fail(reason)
    fail(reason)
    fail()
    assert subjects() == [FAILS]


def test_a_replay_is_not_a_recovery() -> None:
    fail()
    claim = start().claim
    Run.objects.filter(pk=claim.run_id).update(trigger=Trigger.REPLAY)
    ending.end(claim, ending.finished(Status.SUCCESS))
    fail()
    assert subjects() == [FAILS]


def test_an_abandoned_run_is_a_failure() -> None:
    start()
    end_lease()
    Run.objects.update(heartbeat_at="2026-01-01T00:00:00Z")
    sweeping.sweep()
    assert subjects() == ["[Kasparro] listed is failing: abandoned"]
    sweeping.sweep()
    assert len(subjects()) == 1


def test_a_mail_says_what_happened_and_what_to_do() -> None:
    run_id = fail()
    (message,) = mail.outbox
    assert message.to == ["ann@example.org"]
    text = str(message.body)
    for part in (
        *("listed", f"run:     {run_id} (terminal, attempt 1)", "No answer from https://example.org.", "0 seen"),
        *("The source did not respond, after all retries. Try its address from", "docs/runbook.md#source_unreachable"),
        f"manage.py runs {run_id}",
    ):
        assert part in text
    succeed()
    succeed()
    assert "listed has recovered: its runs succeed again." in str(mail.outbox[1].body)
    assert "unchanged" in str(mail.outbox[1].body)


def test_the_runbook_has_a_heading_for_each_reason() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert [reason for reason in Reason if reason and reason not in headings] == []


def test_without_administrators_there_is_no_mail(settings: Any) -> None:
    settings.ADMINS = []
    fail()
    assert mail.outbox == []


def test_a_mail_server_that_refuses_changes_nothing(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise smtplib.SMTPAuthenticationError(535, b"s3cret is no password")

    monkeypatch.setattr("etl.runs.alert_sending.mail_admins", refuse)
    fail()
    assert Run.objects.get().reason == "source_unreachable"
    (line,) = [record.getMessage() for record in caplog.records if record.name == "etl.runs.alert_sending"]
    assert "could not be sent: mail: SMTPAuthenticationError; next try in 30 s" in line
    assert "s3cret" not in caplog.text


def test_runs_that_fail_at_the_same_time_are_mailed_once() -> None:
    """The process that closes later waits for the earlier one, so that times of closing follow the order of commits.

    The first is held after it has chosen its `finished_at`, until the second waits for it or does not wait at all.
    """
    first, second = (
        orders.queue("gone", key=f"{n}", trigger=Trigger.API, by="a test", options=Options(full=True)) for n in range(2)
    )
    is_through = threading.Event()

    def close(run: Run) -> None:
        try:
            ending.end_unstartable(run, Reason.UNKNOWN_SOURCE, "It is gone.")
        finally:
            connections.close_all()

    def close_second() -> None:
        close(second)
        is_through.set()

    threads = [threading.Thread(target=close, args=[first]), threading.Thread(target=close_second)]
    with connection.cursor() as cursor, hold_update(cursor, first.pk):
        threads[0].start()
        wait_until(lambda: count_waiting(cursor) == 1)
        threads[1].start()
        wait_until(lambda: is_through.is_set() or count_waiting(cursor) == 2)
        assert not is_through.is_set()
    for thread in threads:
        thread.join()
    alert_sending.send_waiting()
    assert subjects() == ["[Kasparro] gone is failing: unknown_source"]


@contextmanager
def hold_update(cursor: Any, run_id: int) -> Iterator[None]:
    """Make an update of this run's row wait until the end of the block, after it has found the row's new values."""
    cursor.execute(
        f"""
        CREATE FUNCTION hold_update() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock({HELD}); RETURN NEW; END $$;
        CREATE TRIGGER hold_update BEFORE UPDATE ON etl_runs FOR EACH ROW WHEN (OLD.id = {run_id:d})
            EXECUTE FUNCTION hold_update();
        SELECT pg_advisory_lock({HELD});
        """
    )
    try:
        yield
    finally:
        cursor.execute(f"SELECT pg_advisory_unlock({HELD})")
        cursor.execute("DROP TRIGGER hold_update ON etl_runs; DROP FUNCTION hold_update")


class Post(socketserver.StreamRequestHandler):
    """The part of RFC 5321 that receiving a mail needs."""

    def handle(self) -> None:
        self._say("220 post")
        while line := self.rfile.readline().decode().strip():
            word = line.upper()
            if word.startswith("DATA"):
                self._say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                self.server.mails.append(text)  # type: ignore[attr-defined]
            self._say("221 bye" if word == "QUIT" else "250 fine")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def run_mail_server() -> Iterator[tuple[str, list[str]]]:
    """Yield the server's EMAIL_URL, and the mails that it has received."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post) as server:
        server.daemon_threads = True
        mails: list[str] = []
        server.mails = mails  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}", mails
        server.shutdown()


def test_real_processes_mail_through_a_real_server(project: Project) -> None:
    with run_mail_server() as (url, mails):
        project.environment |= {"ADMINS": "Ann <ann@example.org>, bob@example.org", "EMAIL_URL": url}
        path = project.folder / "products.csv"
        for _ in range(2):
            assert project.ingest("products_csv", PRODUCTS_CSV=str(path))[0]["status"] == "failed"
        write_products(path, make_products(3))
        for _ in range(3):
            assert project.ingest("products_csv", PRODUCTS_CSV=str(path))[0]["status"] == "success"
    failure, recovery = mails
    assert "Subject: [Kasparro] products_csv is failing: source_unreadable" in failure
    assert "To: ann@example.org, bob@example.org" in failure
    assert "From: kasparro@localhost" in failure
    assert "Subject: [Kasparro] products_csv has recovered" in recovery


def test_a_mail_server_that_is_down_changes_no_run(project: Project) -> None:
    environment = {"ADMINS": "ann@example.org", "EMAIL_URL": "smtp+tls://user:s3cret@127.0.0.1:1"}
    done = project.run("ingest", "--json", "products_csv", PRODUCTS_CSV="nowhere.csv", **environment)
    assert '"reason": "source_unreadable"' in done.stdout
    assert "could not be sent: mail: ConnectionRefusedError" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("ADMINS", "Ann <ann>"), ("ADMINS", "ann@example.org; bob@example.org"), ("EMAIL_URL", "s3cret")],
)
def test_a_wrong_setting_is_found_by_check(project: Project, name: str, value: str) -> None:
    done = project.run("check", **{name: value})
    assert done.returncode == 1
    assert name in done.stderr
    assert "(kasparro.E001)" in done.stderr
    assert "s3cret" not in done.stderr
