"""System check of the environment: one error with a hint per wrong variable."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from etl.installation import TAG


@register(TAG)
def check_environment(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """kasparro.E001: the value of an environment variable can't be used."""
    return [
        Error(problem.complaint, hint=problem.hint, id="kasparro.E001") for problem in settings.ENVIRONMENT_PROBLEMS
    ]
