"""The seeded mistakes: each one breaks a law and names the tests that catch it."""

from tests.laws.mistakes import (
    closing,
    contracts,
    delivery,
    files,
    orders,
    ownership,
    reading,
    records,
    removals,
    requests,
    tables,
    targets,
    walks,
)

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
            *targets.MISTAKES,
            *closing.MISTAKES,
            *contracts.MISTAKES,
            *files.MISTAKES,
            *requests.MISTAKES,
            *walks.MISTAKES,
        ),
        key=lambda mistake: mistake.law,
    )
)
