-- What a careful hand would write: products.csv into raw and unified records, in one transaction; {file} is its path.
-- It keeps the contract and writes only differences. It does not keep the refused rows, lines, runs and schemas.
BEGIN;

CREATE TEMPORARY TABLE incoming (
    position bigint GENERATED ALWAYS AS IDENTITY, product_id text, name text, category text, price text, extra_col text
) ON COMMIT DROP;

-- from {file}
COPY incoming (product_id, name, category, price, extra_col) FROM STDIN (FORMAT csv, HEADER true, FORCE_NOT_NULL (product_id, name, category, price, extra_col));

CREATE TEMPORARY TABLE accepted ON COMMIT DROP AS
SELECT DISTINCT ON (product_id::numeric)
    position, product_id::numeric::text AS external_id, name, lower(category) AS category, price::numeric AS value,
    json_build_object('product_id', product_id, 'name', name, 'category', category, 'price', price,
        'extra_col', extra_col) AS payload,
    sha256(convert_to(concat_ws(E'\x1f', product_id, name, category, price, extra_col), 'UTF8')) AS content_hash
FROM incoming
WHERE product_id ~ '^[0-9]{{1,38}}$' AND product_id !~ '^0+$' AND name ~ '\S' AND length(name) <= 1000
    AND category ~ '\S' AND length(category) <= 255 AND price ~ '^[0-9]{{1,20}}(\.[0-9]{{1,18}})?$' AND price !~ '^[0.]+$'
ORDER BY product_id::numeric, position;

ANALYZE accepted;

CREATE TEMPORARY TABLE changed ON COMMIT DROP AS
SELECT accepted.*, nextval('raw_record_id') AS raw_id
FROM accepted LEFT JOIN unified_records AS stored
    ON stored.source = 'plain' AND stored.external_id = accepted.external_id
WHERE stored.content_hash IS DISTINCT FROM accepted.content_hash;

INSERT INTO raw_csv_data (id, run_id, source, external_id, position, sequence, payload)
SELECT raw_id, 0, 'plain', external_id, position, 1, payload FROM changed;

INSERT INTO unified_records (source, external_id, name, category, value, ingested_at, updated_at, content_hash, sequence,
    raw_id)
SELECT 'plain', external_id, name, category, value, now(), now(), content_hash, 1, raw_id FROM changed
ON CONFLICT (source, external_id) DO UPDATE SET
    name = EXCLUDED.name, category = EXCLUDED.category, value = EXCLUDED.value,
    updated_at = EXCLUDED.updated_at,
    content_hash = EXCLUDED.content_hash, sequence = EXCLUDED.sequence, raw_id = EXCLUDED.raw_id;

COMMIT;
