"""The shop's settings: its own user model, time zone and format of times, an app labelled `api`, and no Redis."""

import os
from pathlib import Path

from django import VERSION

BASE_DIR = Path(__file__).resolve().parents[1]
SECRET_KEY = os.getenv("SHOP_KEY", "the-shop-signs-with-this-key-in-development-only")
DEBUG = os.getenv("SHOP_DEBUG") == "1"
ALLOWED_HOSTS = ["shop.example", "testserver"]
ROOT_URLCONF = "shop.urls"
AUTH_USER_MODEL = "accounts.Account"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = [
    *(f"django.contrib.{name}" for name in ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]),
    *("rest_framework", "shop.accounts", "shop.api"),
]
INSTALLED_APPS += ["etl", "django_celery_beat"]  # kasparro
INSTALLED_APPS += ["api", "django_filters", "drf_spectacular", "drf_spectacular_sidecar"]  # kasparro: its API
if VERSION >= (6,):
    INSTALLED_APPS += ["django.contrib.postgres"]  # kasparro
ETL_SOURCES = ["shop.suppliers.AcmeProducts"]  # kasparro
REDIS_URL = ""  # kasparro: the shop has none
MIDDLEWARE = [
    f"django.{name}"
    for name in (
        "contrib.sessions.middleware.SessionMiddleware",
        "middleware.common.CommonMiddleware",
        "middleware.csrf.CsrfViewMiddleware",
        "contrib.auth.middleware.AuthenticationMiddleware",
        "contrib.messages.middleware.MessageMiddleware",
    )
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "shop" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                f"django.{name}"
                for name in ("template.context_processors.request", "contrib.auth.context_processors.auth")
            ]
            + ["django.contrib.messages.context_processors.messages"]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "ATOMIC_REQUESTS": True,
        **{key: os.getenv(f"SHOP_DB_{key}", "") for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")},
    }
}
SHOP_CELERY_BROKER_URL = os.getenv("SHOP_BROKER", "memory://")
LANGUAGE_CODE, TIME_ZONE, USE_TZ = "de", "Asia/Kathmandu", False
DATETIME_FORMAT, USE_THOUSAND_SEPARATOR = "j. F Y", True
STATIC_URL = "/assets/"
REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.AllowAny"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DATETIME_FORMAT": "%d.%m.%Y",
}
