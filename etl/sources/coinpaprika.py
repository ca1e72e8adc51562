"""CoinPaprika's tickers: the prices and volumes of the coins that are traded. The raw records keep all digits."""

# fmt: off
from etl.sources import Contract, Decimal, Gates, JsonApiSource, ZonedTime, constant, field, setting, timedelta
from etl.sources.coingecko import Coin


class Quote(Contract):
    price: Decimal | None = field(min=0, round_to=18)
    volume_24h: Decimal | None = field(min=0, round_to=18)

class Quotes(Contract):
    USD: Quote

class Ticker(Coin):  # id, symbol and name, as at CoinGecko
    quotes: Quotes
    last_updated: ZonedTime | None

class CoinPaprikaTickers(JsonApiSource):
    name, every, contract, params = "coinpaprika_tickers", timedelta(minutes=15), Ticker, {"quotes": "USD"}
    base_url, endpoint, rate_limit = setting("COINPAPRIKA_BASE_URL"), "/tickers", setting("ETL_RATE_LIMIT_COINPAPRIKA")
    gates = Gates(max_refused=0.01, min_kept=0.9, min_records=1000, fresh_within=timedelta(hours=3))
    unified = {"external_id": "id", "name": "name", "category": "symbol", "value": "quotes.USD.price",
               "currency": constant("USD"), "event_timestamp": "last_updated"}
