"""System checks of the API's settings."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register

from api.conf import list_settings
from etl.installation import TAG


@register(TAG)
def check_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """kasparro_api.E001: a setting of api/conf.py has a value that can't be used."""
    problems = [(setting, setting.find_problem()) for setting in list_settings()]
    return [
        Error(problem, hint=setting.hint, id="kasparro_api.E001")
        for setting, problem in problems
        if problem is not None
    ]
