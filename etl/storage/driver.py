"""PostgreSQL's driver: psycopg 3 if it is installed, otherwise psycopg2, as Django chooses. Nothing else imports them.

Statements go through Django's connections. What the two drivers do differently is here: COPY, several statements in
one message, sessions without Django.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import IO, Any

try:
    import psycopg as driver
    from psycopg import ClientCursor as Cursor
    from psycopg import sql

    IS_PSYCOPG3 = True
except ImportError:
    IS_PSYCOPG3 = False
    try:
        import psycopg2 as driver
        from psycopg2 import sql
        from psycopg2.extensions import cursor as Cursor  # noqa: N812  (a class, whatever its case)
    except ImportError:  # `check` says so (etl.E035), for which all modules must be importable
        from etl.storage import no_driver as driver
        from etl.storage.no_driver import Cursor, sql

__all__ = [
    "IS_PSYCOPG3",
    "Cursor",
    "Error",
    "OperationalError",
    "copy_in",
    "copy_out",
    "find_code",
    "open_session",
    "sql",
    "takes_statements",
    "use_last_result",
]

NAME = driver.__name__
Error = driver.Error
OperationalError = driver.OperationalError


@contextmanager
def open_session(url: str = "", *, autocommit: bool = False, **parameters: Any) -> Iterator[Any]:
    """Open a session without Django. The end of the block commits and closes it; an error closes it uncommitted."""
    with closing(driver.connect(url, cursor_factory=Cursor, **parameters)) as session:
        session.autocommit = autocommit
        yield session
        session.commit()


def copy_in(cursor: Any, statement: str, blocks: Iterable[bytes]) -> None:
    """Execute a COPY … FROM STDIN with the text of these blocks. A block may have any length but 0."""
    if IS_PSYCOPG3:
        with cursor.copy(statement) as copy:
            for block in blocks:
                copy.write(block)
    else:
        cursor.copy_expert(statement, _Blocks(blocks))


def copy_out(cursor: Any, statement: str, file: IO[bytes]) -> None:
    """Execute a COPY … TO STDOUT, and write its text to the file."""
    if IS_PSYCOPG3:
        with cursor.copy(statement) as copy:
            file.writelines(copy)
    else:
        cursor.copy_expert(statement, file)


def takes_statements(cursor: Any) -> bool:
    """Whether this cursor takes several statements in one text; none does whose parameters the server binds."""
    return not getattr(cursor, "name", None) and isinstance(cursor, Cursor)


def use_last_result(cursor: Any) -> None:
    """After several statements in one text, let the cursor return the rows of the last, as psycopg2 does by itself."""
    if IS_PSYCOPG3:
        while cursor.nextset():
            pass


def find_code(error: BaseException | None) -> str | None:
    """Return PostgreSQL's code in an error of the driver, or None if no server has responded."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


class _Blocks:
    """Blocks as a file, which psycopg2 reads. It takes more than it asks for."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.blocks = iter(blocks)

    def read(self, size: int) -> bytes:
        return next(self.blocks, b"")
