"""The project as a Django app, with its commands and environment checks, and the config of its admin."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class KasparroConfig(AppConfig):
    name = "kasparro"

    def ready(self) -> None:
        from kasparro import celery, checks  # noqa: F401, PLC0415  (sets the Celery app, registers the checks)


class PipelineAdminConfig(AdminConfig):
    """Django's admin with the pipeline's admin site as the default site."""

    default_site = "etl.admin.site.PipelineAdminSite"
