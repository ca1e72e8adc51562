"""A run whose source is slow or refuses ends with the true cause, within its batch deadline."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pytest_django.fixtures import Settings

from etl.conf import conf
from etl.preview import preview
from etl.read_context import ReadContext
from etl.readers.content import Content, Opening
from etl.sources.coingecko import CoinGecko
from sandbox.server import Sandbox
from tests.http.raw_server import KEY, RawServer, answer, redirect
from tests.listed_source import Listed, fetch, ingest_here, make_item


@pytest.fixture(autouse=True)
def unpaced(settings: Settings) -> None:
    settings.ETL_RATE_LIMIT_COINGECKO = ""


class Timed(Listed):
    """Notes how much time a source has."""

    seconds_left = 0.0

    @contextmanager
    def open(self, opening: Opening, context: ReadContext) -> Iterator[Content | None]:
        self.seconds_left = context.seconds_left
        with super().open(opening, context) as content:
            yield content


@pytest.mark.django_db(transaction=True)
def test_a_source_of_a_run_has_the_time_until_the_batch_deadline(settings: Settings) -> None:
    settings.ETL_BATCH_DEADLINE_SECONDS = 1_000
    source = Timed([make_item(1)])
    assert ingest_here(source).status == "success"
    assert 0 < source.seconds_left <= 1_000


def test_a_source_of_a_preview_has_as_much_time() -> None:
    source = Timed([make_item(1)])
    preview(source, 1)
    assert source.seconds_left == conf.ETL_BATCH_DEADLINE_SECONDS


@pytest.mark.django_db(transaction=True)
def test_a_source_that_is_too_slow_is_unreachable_and_the_run_keeps_its_lease(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ETL_BATCH_DEADLINE_SECONDS = 60
    monkeypatch.setattr("etl.http.retries.SHARE_OF_BATCH_DEADLINE", 0.01)  # more leaves no doubt about the lease
    with Sandbox(plan=",".join(["slow:1"] * 9)) as sandbox:
        settings.COINGECKO_BASE_URL = sandbox.url
        outcome = ingest_here(CoinGecko())
    assert (outcome.status, outcome.reason) == ("failed", "source_unreachable")
    assert "of ETL_BATCH_DEADLINE_SECONDS" in fetch("SELECT error FROM etl_runs")[0][0]


@pytest.mark.django_db(transaction=True)
def test_neither_events_nor_the_error_of_a_run_show_a_key_that_the_server_echoes(settings: Settings) -> None:
    with RawServer(answer(status=f"503 Busy with {KEY}"), answer(status=f"403 No rights for {KEY}")) as server:
        settings.COINGECKO_BASE_URL, settings.COINGECKO_API_KEY = server.origin, KEY
        outcome = ingest_here(CoinGecko())
    assert outcome.reason == "source_refused"
    texts = [text for (text,) in fetch("SELECT message FROM etl_run_events UNION ALL SELECT error FROM etl_runs")]
    assert sum("503 Busy with ***" in text for text in texts) == 1
    assert sum("403 No rights for ***" in text for text in texts) >= 1
    assert not [text for text in texts if KEY in text]


@pytest.mark.django_db(transaction=True)
def test_a_forged_redirect_ends_the_run_as_refused(settings: Settings) -> None:
    with RawServer(redirect("http://169.254.169.254/latest/meta-data/")) as server:
        settings.COINGECKO_BASE_URL = server.origin
        outcome = ingest_here(CoinGecko())
    assert (outcome.status, outcome.reason) == ("failed", "source_refused")
    assert len(server.requests) == 1
