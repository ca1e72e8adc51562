"""The pipeline as a Django app."""

from django.apps import AppConfig


class EtlConfig(AppConfig):
    name = "etl"
    verbose_name = "Ingestion"

    def ready(self) -> None:
        from etl import checks  # noqa: F401, PLC0415  (registers the checks)
