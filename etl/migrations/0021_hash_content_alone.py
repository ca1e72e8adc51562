"""Hash the content of each stored record alone, and its values apart; count the raw records of each run.

Up to release 0.1.0 the hash was keyed by the contract, and a record without a time had the time of its writing. Rows
are changed page by page, each page in a transaction of its own, so that nothing waits long for a lock; if the
migration is interrupted, it continues where it stopped. No sequence changes: the change feed has nothing new.

The functions are copies of what the code does in this release, because a migration must not change with the code.
"""

import hashlib
import json
from datetime import UTC

from django.db import migrations, transaction

PAGE = 5000
OLD_HASH_BYTES = 20
NO_TIME = bytes(4)
ESCAPES = str.maketrans({'\\': r'\\', '\t': r'\t', '\n': r'\n', '\r': r'\r'})

FIND = """
    SELECT stored.id, raw.payload::text, stored.content_hash, stored.event_timestamp,
        stored.name, stored.category, trim_scale(stored.value)::text, stored.currency
    FROM (
        SELECT * FROM unified_records WHERE id > %s ORDER BY id LIMIT %s
    ) AS stored LEFT JOIN raw_records AS raw ON raw.id = stored.raw_id ORDER BY stored.id
"""
CHANGE = """
    UPDATE unified_records AS stored SET content_hash = changed.content_hash, values_hash = changed.values_hash,
        event_timestamp = CASE WHEN changed.has_time THEN stored.event_timestamp END
    FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::boolean[])
        AS changed (id, content_hash, values_hash, has_time)
    WHERE stored.id = changed.id
"""
COUNT = "UPDATE etl_runs SET versions = new + updated WHERE id > %s AND id <= %s AND versions <> new + updated"


def hash_content_alone(apps, schema_editor):
    connection = schema_editor.connection
    last = 0
    while last is not None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            last = change_page(cursor, last)


def change_page(cursor, last):
    """Change the next page of records and return its last id; None after the last page."""
    cursor.execute(FIND, [last, PAGE])
    rows = cursor.fetchall()
    changed = [describe(*row) for row in rows if len(row[2]) == OLD_HASH_BYTES and row[1] is not None]
    if changed:
        cursor.execute(CHANGE, [list(column) for column in zip(*changed, strict=True)])
    return rows[-1][0] if rows else None


def describe(row_id, payload, old_hash, time, *values):
    time_digest = bytes(old_hash)[-len(NO_TIME):]
    has_time = time_digest != NO_TIME
    texts = [*values, time.astimezone(UTC).isoformat() if has_time else None]
    return row_id, hash_payload(payload), hash_values(texts) + time_digest, has_time


def hash_payload(payload):
    values = json.loads(payload, parse_int=keep_number, parse_float=keep_number)
    content = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(',', ':'))
    return hashlib.blake2b(content.encode(errors='surrogatepass'), digest_size=16).digest()


def keep_number(text):
    return {'\x00number': text}


def hash_values(texts):
    line = '\t'.join(r'\N' if text is None else text.translate(ESCAPES) for text in texts)
    return hashlib.blake2b(line.encode(), digest_size=8).digest()


def invent_times(apps, schema_editor):
    """Up to release 0.1.0 a record without a time had the time of its writing."""
    schema_editor.execute('UPDATE unified_records SET event_timestamp = updated_at WHERE event_timestamp IS NULL')


def count_versions(apps, schema_editor):
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute('SELECT coalesce(max(id), 0) FROM etl_runs')
        (last,) = cursor.fetchone()
    for first in range(0, last, PAGE):
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(COUNT, [first, first + PAGE])


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('etl', '0020_content_alone'),
    ]

    operations = [
        migrations.RunPython(hash_content_alone, invent_times),
        migrations.RunPython(count_versions, migrations.RunPython.noop),
    ]
