"""The settings of a process of a test that uses the shop's models."""

import os

from kasparro.settings import *  # noqa: F403

INSTALLED_APPS += ["tests.shop"]  # noqa: F405
SHOP_CSV = os.environ.get("SHOP_CSV", "")
