"""CoinGecko's list of coins: ids, symbols and names; it has no prices."""

from etl.sources import Contract, JsonApiSource, NonBlank, secret, setting, timedelta


class Coin(Contract):
    id: NonBlank
    symbol: NonBlank
    name: NonBlank


class CoinGecko(JsonApiSource):
    name = "coingecko_api"
    base_url = setting("COINGECKO_BASE_URL")
    endpoint = "/coins/list"
    api_key = secret("COINGECKO_API_KEY")
    rate_limit = setting("ETL_RATE_LIMIT_COINGECKO")
    every = timedelta(minutes=15)
    complete = True
    contract = Coin
    unified = {"external_id": "id", "name": "name", "category": "symbol"}

    @property
    def headers(self) -> dict[str, str]:
        return {"x-cg-demo-api-key": self.api_key} if self.api_key else {}
