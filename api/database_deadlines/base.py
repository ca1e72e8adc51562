"""Django's backend of the web process: the one that the settings name, with deadlines. `install` chooses it."""

from typing import Any

from django.db import connections
from django.db.utils import load_backend

from api.database_deadlines import Sessions
from etl.database import name_database

_configured: Any = load_backend(connections.databases[name_database()]["CONFIGURED_ENGINE"])


class DatabaseWrapper(Sessions, _configured.DatabaseWrapper):  # type: ignore[misc]
    """Adds deadlines."""
