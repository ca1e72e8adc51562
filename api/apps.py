"""The window as a Django app: what consumers and operators reach over HTTP."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "API"
