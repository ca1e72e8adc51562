"""The project as a Django app: it brings the command `servers` and the checks of the environment."""

from django.apps import AppConfig


class KasparroConfig(AppConfig):
    name = "kasparro"

    def ready(self) -> None:
        from kasparro import celery, checks  # noqa: F401, PLC0415  (sets the Celery app, registers the checks)
