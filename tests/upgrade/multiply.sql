-- Multiplies the records of one source in a database of 0.1.0, before any migration. Run it once per source.
-- Parameters: multiply.source, and multiply.times, the factor by which the number of its records grows.
-- A copy has all raw versions of its original, in the same runs, and a longer external id, in its payloads too.
CREATE TEMPORARY TABLE copies AS
SELECT nextval('raw_record_id') AS id, *
FROM (
    SELECT original, run_id, is_new, external_id || lpad(number::text, 7, '0') AS external_id
    FROM (
        SELECT id AS original, run_id, external_id, id = min(id) OVER (PARTITION BY external_id) AS is_new
        FROM raw_records WHERE source = current_setting('multiply.source')
    ) AS versions
    CROSS JOIN generate_series(1, current_setting('multiply.times')::int - 1) AS number
    ORDER BY number, original
) AS planned;

INSERT INTO raw_api_data (id, run_id, source, external_id, position, sequence, payload)
SELECT copies.id, raw.run_id, source, copies.external_id, position, sequence,
    replace(payload::text, to_json(raw.external_id)::text, to_json(copies.external_id)::text)::json
FROM copies JOIN raw_api_data AS raw ON raw.id = original ORDER BY copies.id;

INSERT INTO raw_csv_data (id, run_id, source, external_id, position, sequence, payload)
SELECT copies.id, raw.run_id, source, copies.external_id, position, sequence,
    replace(payload::text, to_json(raw.external_id)::text, to_json(copies.external_id)::text)::json
FROM copies JOIN raw_csv_data AS raw ON raw.id = original ORDER BY copies.id;

INSERT INTO raw_third_source_data (id, run_id, source, external_id, position, sequence, payload)
SELECT copies.id, raw.run_id, source, copies.external_id, position, sequence,
    replace(payload::text, to_json(raw.external_id)::text, to_json(copies.external_id)::text)::json
FROM copies JOIN raw_third_source_data AS raw ON raw.id = original ORDER BY copies.id;

INSERT INTO unified_records (
    source, external_id, name, category, value, currency, event_timestamp, ingested_at, updated_at, content_hash,
    sequence, raw_id
)
SELECT source, copies.external_id, name, category, value, currency, event_timestamp, ingested_at, updated_at,
    content_hash, sequence, copies.id
FROM copies JOIN unified_records ON raw_id = original ORDER BY copies.id;

-- The stored counts. Triggers on etl_runs update etl_totals.
UPDATE etl_runs
SET seen = seen + added.new + added.updated, new = etl_runs.new + added.new, updated = etl_runs.updated + added.updated
FROM (
    SELECT run_id, count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE NOT is_new) AS updated
    FROM copies GROUP BY run_id
) AS added
WHERE etl_runs.id = run_id;

UPDATE ingestion_checkpoints
SET record_count = record_count + (SELECT count(*) FROM copies WHERE is_new),
    raw_count = raw_count + (SELECT count(*) FROM copies)
WHERE source = current_setting('multiply.source');

DROP TABLE copies;
