"""The vendors file."""

from etl.sources import Contract, CsvSource, NonBlank, PositiveDecimal, lower, setting, timedelta


class Vendor(Contract):
    vendor_id: NonBlank
    product_name: NonBlank
    group: NonBlank
    amount: PositiveDecimal


class VendorsCsv(CsvSource):
    name = "vendors_csv"
    path = setting("VENDORS_CSV")
    every = timedelta(hours=1)
    complete = True
    contract = Vendor
    unified = {"external_id": "vendor_id", "name": "product_name", "category": lower("group"), "value": "amount"}
