"""Products of which the last record of an id counts, for commands of other processes."""

from etl.sources.products import ProductsCsv

PATH = "tests.last_source.LastProducts"
"""For ETL_SOURCES."""


class LastProducts(ProductsCsv):
    keep = "last"
