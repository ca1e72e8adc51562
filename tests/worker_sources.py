"""Sources for the tests of workers: one with a short interval, and four that send requests to one host."""

from datetime import timedelta

from etl.sources import Contract, CsvSource, Gates, NonBlank, PositiveInt, lower, setting
from etl.sources.coingecko import CoinGecko
from etl.sources.products import ProductsCsv


class QuickProducts(ProductsCsv):
    every = timedelta(seconds=1)


class Coins0(CoinGecko):
    name = "coins_0"


class Coins1(CoinGecko):
    name = "coins_1"


class Coins2(CoinGecko):
    name = "coins_2"


class Coins3(CoinGecko):
    name = "coins_3"


class AnyPrice(Contract):
    product_id: PositiveInt
    name: NonBlank
    category: NonBlank


class LenientProducts(ProductsCsv):
    """No share of refused records fails its reads."""

    gates = Gates(max_refused=1)


class AnyPriceProducts(CsvSource):
    """The products with a contract that does not require a price, so that refused ones can land."""

    name = "products_csv"
    path = setting("PRODUCTS_CSV")
    every = timedelta(hours=1)
    contract = AnyPrice
    unified = {"external_id": "product_id", "name": "name", "category": lower("category")}
