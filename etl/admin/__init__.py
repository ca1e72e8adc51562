"""The operator's desk: Django's admin, in which what the pipeline wrote is looked at and acted on, never edited."""

from etl.admin import desk, drift, log, quarantine, records, runs, sources

__all__ = ["desk", "drift", "log", "quarantine", "records", "runs", "sources"]
