"""The supplier's file again, into the shop's own table."""

from etl.sources import Csv, CsvSource, Into, timedelta
from shop.stock.models import Article


class AcmeArticles(CsvSource):
    name = "acme_articles"
    path = "acme.csv"
    every = timedelta(hours=1)
    dialect = Csv(delimiter=";", encoding="cp1252", decimal=",")
    into = Into(Article, key="number", owns={"number": "artikel", "title": "bezeichnung", "price": "preis"})
