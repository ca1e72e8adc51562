"""Bookings of a bank account in cp1252, of which two may be equal and are two bookings."""

from etl.sources import Contract, Csv, CsvSource, Date, Decimal, Text, field, file_name, row_number, timedelta


class Booking(Contract):
    booked_on: Date = field(column="Buchung", formats=["%d.%m.%Y"])
    party: Text = field(column="Auftraggeber/Empfänger")
    amount: Decimal = field(column="Betrag")
    currency: Text = field(column="Währung")


class BankCp1252(CsvSource):
    name = "bank_cp1252"
    path = "examples/files/data/bank_cp1252*.csv"
    every = timedelta(days=1)
    dialect = Csv(delimiter=";", encoding="cp1252", decimal=",", thousands=".", skip_lines=6)
    contract = Booking
    unified = {"external_id": (file_name(), row_number()), "name": "party", "value": "amount", "currency": "currency"}
