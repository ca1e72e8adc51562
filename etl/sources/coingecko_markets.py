"""CoinGecko's markets: prices and volumes of all coins, in some 70 pages. Four walks a day fit into the free plan."""

# fmt: off
from etl.sources import Decimal, Gates, Numbered, ZonedTime, constant, field, timedelta
from etl.sources.coingecko import Coin, CoinGecko


class Market(Coin):
    current_price: Decimal | None = field(min=0)  # rounded by CoinGecko to 18 decimals, which is what `value` holds
    total_volume: Decimal | None = field(min=0, round_to=18)
    last_updated: ZonedTime | None

class CoinGeckoMarkets(CoinGecko):
    name, endpoint, every, contract, complete = "coingecko_markets", "/coins/markets", timedelta(hours=6), Market, False
    params = {"vs_currency": "usd", "order": "id_asc", "per_page": "250", "precision": "18"}
    pages = Numbered("page")  # sorted by id, so that they hardly shift
    gates = Gates(max_refused=0.01, min_kept=0.9, min_records=5000)
    unified = {**CoinGecko.unified, "value": "current_price", "currency": constant("USD"),
               "event_timestamp": "last_updated"}
