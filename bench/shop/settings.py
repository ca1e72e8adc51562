"""The project's settings with the shop's app."""

from kasparro.settings import *  # noqa: F403

INSTALLED_APPS += ["bench.shop"]  # noqa: F405
