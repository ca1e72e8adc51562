"""The Django app of the REST API, for consumers and operators."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Its label is not `api`, because many projects have an app of their own with that label."""

    name = "api"
    label = "kasparro_api"
    verbose_name = "API"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from api import checks  # noqa: F401, PLC0415  (registers the checks)
