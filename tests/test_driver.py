"""One module knows the driver, and both drivers work alike through it."""

import ast
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from etl.checks import check_database
from etl.storage import driver
from etl.storage.transactions import find_code
from tests.processes import ROOT, test_database_url

PACKAGES = ("etl", "api", "kasparro", "sandbox", "tests", "bench", "examples", "scripts")
KNOWS_IT = {"etl/storage/driver.py", "bench/loads/copy_process.py"}  # the second is a bare process, to compare with
SEVERAL = "SELECT 1; SELECT n FROM generate_series(1, 3) AS n"


def list_imports(file: Path) -> set[str]:
    """The names of the top-level packages that the module imports."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in named}


def test_only_one_module_imports_a_driver() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py") if ".venv" not in file.parts]
    found = {str(file.relative_to(ROOT)) for file in files if list_imports(file) & {"psycopg", "psycopg2"}}
    assert found == KNOWS_IT


@pytest.mark.django_db
def test_the_driver_is_the_one_that_django_uses() -> None:
    with connection.cursor() as cursor:
        assert driver.takes_statements(cursor.cursor)


@pytest.mark.parametrize(
    ("is_psycopg3", "binds_on_server", "count"), [(True, True, 1), (True, False, 0), (False, True, 0)]
)
def test_psycopg_3_must_not_leave_parameters_to_the_server(
    monkeypatch: pytest.MonkeyPatch, is_psycopg3: Any, binds_on_server: Any, count: int
) -> None:
    monkeypatch.setattr(driver, "IS_PSYCOPG3", is_psycopg3)
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"server_side_binding": binds_on_server})
    assert [error.id for error in check_database(None)] == ["etl.E034"] * count


@pytest.mark.django_db
def test_of_several_statements_the_last_ones_rows_are_returned() -> None:
    with connection.cursor() as cursor:
        cursor.execute(SEVERAL)
        driver.use_last_result(cursor)
        assert (cursor.rowcount, cursor.fetchall()) == (3, [(1,), (2,), (3,)])


@pytest.mark.django_db
@pytest.mark.parametrize("blocks", [[], [b"1\n"], [b"1\n2\n", b"3", b"\n", b"4\n" * 50_000]])
def test_what_is_copied_in_is_copied_out(blocks: list[bytes]) -> None:
    out = BytesIO()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE copied (number integer) ON COMMIT DROP")
        driver.copy_in(cursor, "COPY copied FROM STDIN", blocks)
        driver.copy_out(cursor, "COPY copied TO STDOUT", out)
    assert out.getvalue() == b"".join(blocks)


@pytest.mark.django_db(transaction=True)
def test_a_copy_that_fails_has_a_code_and_leaves_the_session_usable() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE refusing (number integer)")
        with pytest.raises(driver.Error) as caught:
            driver.copy_in(cursor, "COPY refusing FROM STDIN", [b"1\n", b"one\n", b"2\n"])
        assert find_code(caught.value) == "22P02"
        cursor.execute("SELECT count(*) FROM refusing")
        assert cursor.fetchall() == [(0,)]
        cursor.execute("DROP TABLE refusing")


@pytest.mark.django_db(transaction=True)
def test_a_session_without_django_is_committed_at_its_end_unless_it_failed() -> None:
    url = test_database_url()
    with driver.open_session(url) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (number integer)")
    try:
        with pytest.raises(ZeroDivisionError), driver.open_session(url) as session, session.cursor() as cursor:
            cursor.execute("INSERT INTO kept VALUES (1)")
            raise ZeroDivisionError
        with driver.open_session(url, autocommit=True) as session, session.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM kept")
            assert cursor.fetchall() == [(0,)]
        assert session.closed
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE kept")
