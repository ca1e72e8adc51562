"""COPY takes lines in blocks, however many there are."""

import pytest
from django.db import connection

from etl.storage import bulk_copy
from etl.storage.bulk_copy import copy_lines


@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_all_lines_arrive(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(bulk_copy, "BLOCK_LINES", 3)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE copied (number integer, text text) ON COMMIT DROP")
        copy_lines(cursor, "copied", ("number", "text"), (f"{number}\té {number}" for number in range(count)))
        cursor.execute("SELECT number, text FROM copied ORDER BY number")
        assert cursor.fetchall() == [(number, f"é {number}") for number in range(count)]
