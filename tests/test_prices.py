"""The two ready sources with prices: each record of the documented answers lands, and no digit is lost."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from etl.models import RawApiRecord, UnifiedRecord
from etl.sources.coingecko_markets import CoinGeckoMarkets
from etl.sources.coinpaprika import CoinPaprikaTickers
from etl.vocabulary import Reason, Status
from kasparro import settings as service
from sandbox.markets import CoinMarkets, Tickers, make_market, make_ticker
from sandbox.pages import encode_json
from tests.listed_source import ingest_here

READY = ["etl.sources.coingecko_markets.CoinGeckoMarkets", "etl.sources.coinpaprika.CoinPaprikaTickers"]
PRICES = {  # as sent, and as `value` holds them
    "70187.123456789": "70187.123456789",
    "0": "0",
    "6.2e-10": "0.00000000062",
    "1.2e+3": "1200",
    "0.0005840811745500313": "0.000584081174550031",
    "2.4515411098786123e-05": "0.000024515411098786",
    "null": None,
}


@pytest.fixture
def markets(settings: Settings) -> Iterator[CoinMarkets]:
    with CoinMarkets(5000) as api:
        settings.COINGECKO_BASE_URL, settings.ETL_RATE_LIMIT_COINGECKO = api.url, ""
        yield api


@pytest.fixture
def limits(settings: Settings) -> None:
    settings.ETL_RATE_LIMIT_COINPAPRIKA = ""


def encode_verbatim(document: Any) -> bytes:
    """Write texts that begin with # as JSON that is not rounded or rewritten."""
    return re.sub(rb'"#([^"]*)"', rb"\1", encode_json(document))


def list_values() -> dict[str, Any]:
    return dict(UnifiedRecord.objects.values_list("external_id", "value"))


def test_both_are_usable_and_neither_is_in_the_default_list(settings: Settings) -> None:
    assert not set(READY) & set(service.ETL_SOURCES)
    settings.ETL_SOURCES = READY
    call_command("check", "--tag", "etl_sources")


@pytest.mark.django_db(transaction=True)
def test_each_market_of_each_page_lands_with_its_price(markets: CoinMarkets) -> None:
    markets.pages[3][0] = make_market(1, id="cheap", current_price=6.2e-10, total_volume=1.25e-14)
    markets.pages[3][1] = make_market(1, id="idle", current_price=None, total_volume=None, last_updated=None)
    outcome = ingest_here(CoinGeckoMarkets())
    assert (outcome.status, outcome.counters["new"]) == (Status.SUCCESS, 5000)
    assert len(markets.requests) == 22  # a page without records shows the end, and page 1 that nothing has moved
    found = list_values()
    assert (found["cheap"], found["idle"]) == (Decimal("0.00000000062"), None)
    assert found["coin-04321"] == Decimal("4.321")
    record = UnifiedRecord.objects.get(external_id="coin-04321")
    assert (record.name, record.category, record.currency) == ("Coin 4321", "c4321", "USD")
    assert str(record.event_timestamp) == "2026-11-26 12:00:00.731000+00:00"
    again = ingest_here(CoinGeckoMarkets())
    assert again.counters["unchanged"] == 5000


@pytest.mark.django_db(transaction=True)
def test_a_part_of_the_markets_is_no_list_of_markets(markets: CoinMarkets) -> None:
    markets.pages = markets.pages[:4]
    outcome = ingest_here(CoinGeckoMarkets())
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.TOO_FEW_RECORDS)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("limits")
def test_the_price_of_each_ticker_lands_and_the_raw_record_keeps_each_digit(settings: Settings) -> None:
    special = [make_ticker(number, f"#{text}", f"#{text}") for number, text in enumerate(PRICES, start=1)]
    with Tickers([*special, *(make_ticker(number) for number in range(100, 1200))]) as api:
        settings.COINPAPRIKA_BASE_URL, api.encode = api.url, encode_verbatim
        outcome = ingest_here(CoinPaprikaTickers())
    assert (outcome.status, outcome.counters["new"]) == (Status.SUCCESS, 1107)
    assert api.requests == ["/tickers?quotes=USD"]
    found = list_values()
    expected = [None if text is None else Decimal(text) for text in PRICES.values()]
    assert [found[item["id"]] for item in special] == expected
    for item, text in zip(special, PRICES, strict=True):
        raw = RawApiRecord.objects.filter(external_id=item["id"]).extra(select={"text": "payload::text"}).get()
        assert f'"price": {text}, "volume_24h": {text}' in raw.text
