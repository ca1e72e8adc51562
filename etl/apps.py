"""The pipeline as a Django app."""

from django.apps import AppConfig, apps


class EtlConfig(AppConfig):
    name = "etl"
    verbose_name = "Ingestion"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from etl import installation  # noqa: PLC0415  (registers its checks)

        if not apps.is_installed(installation.BEAT):  # then `check` says so; the other modules can't be imported
            return
        from etl import checks  # noqa: F401, PLC0415  (registers the checks)

        if apps.is_installed("django.contrib.admin"):
            from django.contrib import admin  # noqa: PLC0415

            from etl.admin.site import register_pages  # noqa: PLC0415

            register_pages(admin.site)
