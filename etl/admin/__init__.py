"""The operator's desk: Django's admin, in which what the pipeline wrote is looked at and acted on, never edited."""
