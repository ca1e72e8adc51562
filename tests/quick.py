"""Sources for the tests of workers: one with a fast rhythm, and four that ask one host."""

from datetime import timedelta

from etl.sources.coingecko import CoinGecko
from etl.sources.products import ProductsCsv


class QuickProducts(ProductsCsv):
    every = timedelta(seconds=2)


class Coins0(CoinGecko):
    name = "coins_0"


class Coins1(CoinGecko):
    name = "coins_1"


class Coins2(CoinGecko):
    name = "coins_2"


class Coins3(CoinGecko):
    name = "coins_3"
