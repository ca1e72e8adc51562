"""The products of a later release, whose contract names one more field. The mapping is the same."""

from etl.sources import Text
from etl.sources.products import Product, ProductsCsv


class FullerProduct(Product):
    extra_col: Text


class FullerProducts(ProductsCsv):
    contract = FullerProduct
