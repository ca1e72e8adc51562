"""Which of the shop's tables are in which of its databases. `etl.database.Router` stands before this router."""

from typing import Any

from django.db.models import Model


class Analytics:
    """The stock is in `analytics`, everything else in `default`."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return "analytics" if model._meta.app_label == "stock" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "analytics") == (app_label == "stock")
