"""An OData feed: the body names the next page. The name has a dot, and is found as a whole."""

from etl.sources import Basic, Contract, JsonApiSource, NextUrl, NonBlank, Since, Text, ZonedTime, setting, timedelta


class Customer(Contract):
    CustomerID: NonBlank
    CompanyName: NonBlank
    Country: Text | None
    ModifiedDate: ZonedTime


class ODataCustomers(JsonApiSource):
    name, every, contract = "odata_customers", timedelta(hours=1), Customer
    base_url, endpoint = setting("ODATA_URL"), "/Customers"
    auth = Basic(setting("ODATA_USER"), setting("ODATA_PASSWORD"))
    records, pages = "value", NextUrl("@odata.nextLink")
    since = Since("$filter", of="ModifiedDate", overlap=timedelta(minutes=5),
                  format="ModifiedDate ge %Y-%m-%dT%H:%M:%SZ")  # fmt: skip
    unified = {"external_id": "CustomerID", "name": "CompanyName", "category": "Country"}
