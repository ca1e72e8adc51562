"""The project as a Django app (commands, checks of the environment), and its admin."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class KasparroConfig(AppConfig):
    name = "kasparro"

    def ready(self) -> None:
        from kasparro import celery, checks  # noqa: F401, PLC0415  (sets the Celery app, registers the checks)


class PipelineAdminConfig(AdminConfig):
    """Django's admin, with the operator's desk for its site."""

    default_site = "etl.admin.site.PipelineAdminSite"
