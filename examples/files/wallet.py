"""Payments of a wallet: a date, an hour and the name of a zone in three columns, and decimal commas."""

from etl.sources import Contract, Csv, CsvSource, Decimal, Text, Time, field, timedelta


class Payment(Contract):
    code: Text = field(column="Transaktionscode")
    at: Time = field(
        columns=["Datum", "Uhrzeit", "Zeitzone"],
        formats=["%d.%m.%Y %H:%M:%S %Z"],
        zones={"CET": "+01:00", "CEST": "+02:00"},
    )
    party: Text = field(column="Name")
    currency: Text = field(column="Währung")
    gross: Decimal = field(column="Brutto")
    balance: Decimal | None = field(column="Guthaben")


class Wallet(CsvSource):
    name, path, every, contract = "wallet", "examples/files/data/wallet.csv", timedelta(hours=1), Payment
    dialect = Csv(decimal=",", thousands=".")
    unified = {"external_id": "code", "name": "party", "value": "gross", "currency": "currency",
               "event_timestamp": "at"}  # fmt: skip
