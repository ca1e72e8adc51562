"""The seeded mistakes: each breaks one law, and names the tests that notice it."""

from tests.laws.mistakes import delivery, orders, ownership, reading, records, tables

MISTAKES = tuple(
    sorted(
        (
            *delivery.MISTAKES,
            *ownership.MISTAKES,
            *orders.MISTAKES,
            *records.MISTAKES,
            *reading.MISTAKES,
            *tables.MISTAKES,
        ),
        key=lambda mistake: mistake.law,
    )
)
