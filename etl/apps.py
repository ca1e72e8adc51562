"""The pipeline as a Django app."""

from types import ModuleType

from django.apps import AppConfig, apps

from etl import installation
from etl.database import is_known


class EtlConfig(AppConfig):
    name = "etl"
    verbose_name = "Ingestion"
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        installation.require_driver()
        super().__init__(app_name, app_module)

    def ready(self) -> None:
        if not is_known():  # then `check` says so; other checks would ask a database that there is not
            return
        from etl import checks  # noqa: F401, PLC0415  (registers the checks)

        if apps.is_installed("django.contrib.admin"):
            from django.contrib import admin  # noqa: PLC0415

            from etl.admin.site import register_pages  # noqa: PLC0415

            register_pages(admin.site)
