"""The ingestion pipeline; etl/pipeline.py shows a record's path on one screen."""
