"""Bookings of a bank: four lines before the header, years of two digits, and no field that identifies a booking."""

from etl.sources import Contract, Csv, CsvSource, Date, Decimal, Text, constant, field, file_name, row_number, timedelta


class Booking(Contract):
    booked_on: Date = field(column="Buchungsdatum", formats=["%d.%m.%y"])
    purpose: Text = field(column="Verwendungszweck")
    amount: Decimal = field(column="Betrag (€)")
    reference: Text | None = field(column="Kundenreferenz")


class BankPreamble(CsvSource):
    name = "bank_preamble"
    path = "examples/files/data/bank_preamble*.csv"
    every = timedelta(days=1)
    dialect = Csv(delimiter=";", decimal=",", thousands=".", skip_lines=4)
    contract = Booking
    unified = {"external_id": (file_name(), row_number()), "name": "purpose", "value": "amount",
               "currency": constant("EUR")}  # fmt: skip
