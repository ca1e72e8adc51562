"""A trigger that gives each refused record its id, as the judgement will: tests of removals need it until then."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

_CREATE = """
    CREATE FUNCTION test_identify() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.external_id := coalesce(NEW.external_id, NEW.payload ->> 'id'); RETURN NEW; END $$;
    CREATE TRIGGER test_identify BEFORE INSERT ON etl_quarantine FOR EACH ROW EXECUTE FUNCTION test_identify();
"""
_DROP = "DROP FUNCTION test_identify CASCADE"


@contextmanager
def identifying_refusals() -> Iterator[None]:
    """Store the ids of refused records, where the column of ids is still empty."""
    with connection.cursor() as cursor:
        cursor.execute(_CREATE)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(_DROP)
