"""The seeded mistakes: each one breaks a law and names the tests that catch it."""

from tests.laws.mistakes import closing, delivery, orders, ownership, reading, records, removals, tables

MISTAKES = tuple(
    sorted(
        (
            *delivery.MISTAKES,
            *ownership.MISTAKES,
            *orders.MISTAKES,
            *records.MISTAKES,
            *removals.MISTAKES,
            *reading.MISTAKES,
            *tables.MISTAKES,
            *closing.MISTAKES,
        ),
        key=lambda mistake: mistake.law,
    )
)
