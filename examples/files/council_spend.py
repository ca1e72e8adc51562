"""Payments of a council: monthly files in which the same payment may be listed twice, and counts twice."""

from etl.sources import Contract, Csv, CsvSource, Date, Decimal, Text, field, file_name, row_number, timedelta


class Payment(Contract):
    transaction: Text = field(column="Transaction Number")
    paid_on: Date = field(column="Payment date")
    amount: Decimal = field(column="Net Amount")
    supplier: Text = field(column="Supplier Name")


class CouncilSpend(CsvSource):
    name = "council_spend"
    path = "examples/files/data/council_spend_*.csv"
    every = timedelta(days=1)
    dialect = Csv(encoding="cp1252")
    contract = Payment
    unified = {"external_id": (file_name(), row_number()), "name": "supplier", "value": "amount"}
