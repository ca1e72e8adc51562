"""A GraphQL connection: a POST whose cursor is in its variables."""

from etl.sources import Bearer, Contract, JsonApiSource, NonBlank, Text, Token, setting, timedelta

QUERY = """query ($after: String) { products(first: 100, after: $after) {
    nodes { id title vendor } pageInfo { hasNextPage endCursor } } }"""


class Product(Contract):
    id: NonBlank
    title: NonBlank
    vendor: Text | None


class GraphQlProducts(JsonApiSource):
    name, every, contract = "graphql_products", timedelta(hours=1), Product
    base_url, endpoint = setting("SHOP_URL"), "/graphql"
    body = {"query": QUERY, "variables": {"after": None}}
    auth, records = Bearer(setting("SHOP_TOKEN")), "data.products.nodes"
    pages = Token(
        into="variables.after", at="data.products.pageInfo.endCursor", more="data.products.pageInfo.hasNextPage"
    )
    unified = {"external_id": "id", "name": "title", "category": "vendor"}
