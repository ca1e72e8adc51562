"""Django's backend of the web process: the one that the settings name, with deadlines. `install` chooses it."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import load_backend

from api.database_deadlines import Sessions

_configured: Any = load_backend(connections.databases[DEFAULT_DB_ALIAS]["CONFIGURED_ENGINE"])


class DatabaseWrapper(Sessions, _configured.DatabaseWrapper):  # type: ignore[misc]
    """Adds deadlines."""
