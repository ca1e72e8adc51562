"""System checks of the API's settings."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, register
from django.db import router

from api.conf import list_settings
from api.models import Token
from etl.installation import TAG


@register(TAG)
def check_routers(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """kasparro_api.E002: the routers send the tokens to another database than the users, whom their rows refer to."""
    users, tokens = router.db_for_write(get_user_model()), router.db_for_write(Token)
    if tokens == users:
        return []
    hint = 'Put "etl.database.Router" first in DATABASE_ROUTERS.'
    text = f"The API's tokens are in the database {tokens!r}, but the users are in {users!r}."
    return [Error(text, hint=hint, id="kasparro_api.E002")]


@register(TAG)
def check_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """kasparro_api.E001: a setting of api/conf.py has a value that can't be used."""
    problems = [(setting, setting.find_problem()) for setting in list_settings()]
    return [
        Error(problem, hint=setting.hint, id="kasparro_api.E001")
        for setting, problem in problems
        if problem is not None
    ]
