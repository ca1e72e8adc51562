"""A stand-in for the two APIs with prices: CoinGecko's /coins/markets, in pages, and CoinPaprika's /tickers."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.pages import Answer, Item, PagedApi

PER_PAGE = 250


class CoinMarkets(PagedApi):
    """Answers as documented: a bare array for each `page`, and an empty one after the last; no currency is an error."""

    def __init__(self, coins: int) -> None:
        records = [make_market(number) for number in range(1, coins + 1)]
        super().__init__([records[start : start + PER_PAGE] for start in range(0, coins, PER_PAGE)])

    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        if path != "/coins/markets" or query.get("vs_currency") != "usd" or query.get("per_page") != str(PER_PAGE):
            return {"status": {"error_code": 422, "error_message": "Missing parameter vs_currency"}}, {}
        return self.take(int(query.get("page", "1")) - 1), {}


class Tickers(PagedApi):
    """Answers as documented: all tickers in one array."""

    def __init__(self, tickers: Sequence[Item]) -> None:
        super().__init__([tickers])

    def answer(self, path: str, query: Mapping[str, str], body: Any) -> Answer:
        if path != "/tickers" or query.get("quotes") != "USD":
            return {"type": "invalid_parameters", "error": "not found"}, {}
        return self.take(0), {}


def make_market(number: int, **values: Any) -> Item:
    """Return an element as CoinGecko documents it."""
    at = "2026-11-26T12:00:00.731Z"
    return {
        "id": f"coin-{number:05}", "symbol": f"c{number}", "name": f"Coin {number}",
        "image": "https://assets.example.com/large.png", "current_price": number / 1000, "market_cap": 1381651251183,
        "market_cap_rank": number, "fully_diluted_valuation": 1474623675796, "total_volume": 20154184933 / number,
        "high_24h": 70215, "low_24h": 68060, "price_change_24h": 2126.88, "price_change_percentage_24h": 3.12502,
        "market_cap_change_24h": 44287678051, "market_cap_change_percentage_24h": 3.31157,
        "circulating_supply": 19675987, "total_supply": 21000000, "max_supply": None, "ath": 73738,
        "ath_change_percentage": -4.77063, "ath_date": "2024-03-14T07:10:36.635Z", "atl": 67.81,
        "atl_change_percentage": 103455.83335, "atl_date": "2013-07-06T00:00:00.000Z", "roi": None,
        "last_updated": at, **values,
    }  # fmt: skip


def make_ticker(number: int, price: Any = 5162.15941296, volume: Any = 7304207651.1585) -> Item:
    """Return an element as CoinPaprika documents it."""
    quote = {
        "price": price, "volume_24h": volume, "volume_24h_change_24h": -2.5, "market_cap": 91094433242,
        "market_cap_change_24h": 1.6, "percent_change_15m": 0, "percent_change_30m": 0, "percent_change_1h": 0,
        "percent_change_6h": 0, "percent_change_12h": -0.09, "percent_change_24h": 1.59, "percent_change_7d": 0.28,
        "percent_change_30d": 27.39, "percent_change_1y": -37.99, "ath_price": None, "ath_date": None,
        "percent_from_price_ath": None,
    }  # fmt: skip
    return {
        "id": f"c{number}-coin", "name": f"Coin {number}", "symbol": f"C{number}", "rank": number,
        "total_supply": 17007062, "max_supply": 0, "beta_value": 0.735327, "first_data_at": "2010-11-14T07:20:41Z",
        "last_updated": "2026-11-26T12:00:00Z", "quotes": {"USD": quote},
    }  # fmt: skip
