"""Runs as rows, from order to end: the only writer of `etl_runs`, `etl_run_keys` and `etl_run_events`."""
