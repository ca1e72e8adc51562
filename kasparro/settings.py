"""The only settings file, and the only place that reads the environment (.env.example lists every variable).

With DEBUG on, the servers of kasparro/embedded are used if DATABASE_URL or REDIS_URL is unset: only their addresses
are computed here, and the first connection starts them. With DEBUG off, an unset URL stops the process.
"""

import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import environ
import redis
from django.core.exceptions import ImproperlyConfigured

from api import conf as api_conf
from api import openapi
from etl.conf import list_settings
from kasparro import embedded, logs
from kasparro.environment import Environment, Problem

BASE_DIR = Path(__file__).resolve().parent.parent
environ.Env.read_env(str(BASE_DIR / ".env"))
env = Environment()

# --- this deployment ----------------------------------------------------------------------------
DEBUG = env.boolean("DEBUG", default=False)
_DEVELOPMENT_KEY = "development-only-key-that-signs-nothing-of-value-and-is-refused-with-DEBUG-off"
SECRET_KEY = env.text("SECRET_KEY", _DEVELOPMENT_KEY if DEBUG else "")
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
HTTPS = env.boolean("HTTPS", default=not DEBUG)

# --- servers ------------------------------------------------------------------------------------
_DATABASE_URL = env.text("DATABASE_URL")
REDIS_URL = env.text("REDIS_URL")
if not DEBUG:
    _missing = [
        name
        for name, value in (("SECRET_KEY", SECRET_KEY), ("DATABASE_URL", _DATABASE_URL), ("REDIS_URL", REDIS_URL))
        if value in ("", _DEVELOPMENT_KEY)
    ]
    if _missing:
        # A DEBUG that can't be read counts as off, so the message says that too.
        _wrong = "".join(f"{problem.complaint} (kasparro.E001). {problem.hint} " for problem in env.problems)
        raise ImproperlyConfigured(
            f"{_wrong}{', '.join(_missing)} must be set when DEBUG is off. Set them in the environment or in .env;"
            " for development run `make` once, which writes a .env with DEBUG=true."
        )

EMBEDDED_HOME = Path(env.text("KASPARRO_HOME", str(BASE_DIR / ".kasparro"))).absolute()
EMBEDDED_SERVERS = embedded.Servers(home=EMBEDDED_HOME, runs_postgresql=not _DATABASE_URL, runs_valkey=not REDIS_URL)


# A connection whose packets vanish is given up within about half a minute; the URL's own parameters win.
_SILENT_SERVER = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def _database() -> dict[str, Any]:
    if not _DATABASE_URL:
        return EMBEDDED_SERVERS.database_settings()
    database: dict[str, Any] = {}
    # For other schemes django-environ would log a warning that shows the password.
    if _DATABASE_URL.lower().startswith(("postgres://", "postgresql://")):
        with suppress(ValueError, ImproperlyConfigured):
            database = environ.Env.db_url_config(_DATABASE_URL)
    if not (database.get("NAME") or database.get("OPTIONS", {}).get("service")):
        # The value is not shown: it may hold a password.
        complaint, hint = "DATABASE_URL is not a PostgreSQL URL", "Use postgres://USER:PASSWORD@HOST:PORT/NAME."
        env.problems.append(Problem("DATABASE_URL", complaint, hint))
        return {"ENGINE": "django.db.backends.postgresql", "NAME": "unusable"}
    if EMBEDDED_SERVERS.runs_valkey:
        database["ENGINE"] = embedded.DATABASE_ENGINE
    database["OPTIONS"] = {**_SILENT_SERVER, **database.get("OPTIONS", {})}
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = REDIS_URL or EMBEDDED_SERVERS.redis_url()
try:
    redis.connection.parse_url(REDIS_URL)  # type: ignore[no-untyped-call]
except ValueError:
    env.problems.append(Problem("REDIS_URL", "REDIS_URL is not a Redis URL", "Use redis://:PASSWORD@HOST:PORT/0."))
    REDIS_URL = "redis://unusable"  # so that etl.E007 does not report it again
# Messages and locks refer to rows of one database, so databases that share a Redis need different prefixes.
REDIS_KEY_PREFIX = f"kasparro:{DATABASES['default']['NAME']}:"

# --- the pipeline: etl/conf.py defines each setting with its default --------------------------------
for _setting in list_settings():
    if _setting.name not in ("REDIS_URL", "REDIS_KEY_PREFIX", "ETL_DATABASE"):
        globals()[_setting.name] = env.read(_setting)
ETL_SOURCES: list[str] = globals()["ETL_SOURCES"] or [
    "etl.sources.coingecko.CoinGecko",
    "etl.sources.products.ProductsCsv",
    "etl.sources.vendors.VendorsCsv",
    "etl.sources.listings.Listings",
]
ETL_TASK_SECONDS: float = globals()["ETL_TASK_SECONDS"]
ETL_BATCH_DEADLINE_SECONDS: float = globals()["ETL_BATCH_DEADLINE_SECONDS"]
if "//api.coingecko.com/" not in globals()["COINGECKO_BASE_URL"] and not env.text("ETL_RATE_LIMIT_COINGECKO"):
    ETL_RATE_LIMIT_COINGECKO = ""  # the default limit is for the public address only
if "//api.coinpaprika.com/" not in globals()["COINPAPRIKA_BASE_URL"] and not env.text("ETL_RATE_LIMIT_COINPAPRIKA"):
    ETL_RATE_LIMIT_COINPAPRIKA = ""

# --- mail: when a source starts to fail, and when it recovers -------------------------------------
ADMINS = env.people("ADMINS")
EMAIL_FROM = env.text("EMAIL_FROM", "kasparro@localhost")
SERVER_EMAIL = DEFAULT_FROM_EMAIL = EMAIL_FROM
EMAIL_SUBJECT_PREFIX = "[Kasparro] "
EMAIL_TIMEOUT = 10


def _mail() -> dict[str, Any]:
    try:
        return dict(environ.Env.email_url_config(env.text("EMAIL_URL", "smtp://localhost:25")))
    except (ValueError, KeyError, ImproperlyConfigured):
        # The value is not shown: it may hold a password.
        hint = "Use smtp+tls://USER:PASSWORD@HOST:587 (or smtp://, smtp+ssl://)."
        env.problems.append(Problem("EMAIL_URL", "EMAIL_URL is not the URL of a mail server", hint))
        return {}


globals().update(_mail())

# --- the API: api/conf.py defines each setting with its default ------------------------------------
for _setting in api_conf.list_settings():
    globals()[_setting.name] = env.read(_setting)
if DEBUG and not env.text("API_DOCS_OPEN"):
    API_DOCS_OPEN = True
if DEBUG and not env.text("METRICS_ACCESS"):
    METRICS_ACCESS = "private"
WEB_PROCESSES = env.whole("WEB_PROCESSES", 2, least=1)
WEB_THREADS = env.whole("WEB_THREADS", 4, least=1)

# Only what the command `spectacular` reads: the views have everything themselves (api/views/base.py, docs.py).
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "api.schema.Schema", "URL_FORMAT_OVERRIDE": None}
SPECTACULAR_SETTINGS = openapi.DOCUMENT

# --- Celery -------------------------------------------------------------------------------------
CELERY_BROKER_URL = (
    REDIS_URL.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=", 1)
    if REDIS_URL.startswith("unix://")
    else REDIS_URL
)
# A worker only listens: without these it would notice a connection whose packets vanish after two hours.
_SILENT_BROKER = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A message is delivered again if it is not acknowledged in this time, which must exceed the limit in etl/tasks.py.
    "visibility_timeout": ETL_TASK_SECONDS + ETL_BATCH_DEADLINE_SECONDS + 60 + 600,
    "socket_connect_timeout": 2,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value for name, value in _SILENT_BROKER.items() if hasattr(socket, name)
    },
    "max_retries": 1,  # more would delay the sender (a request for a run) by seconds; the sweeper re-sends anyway
    "interval_start": 0.1,
    "global_keyprefix": REDIS_KEY_PREFIX,
}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5

# --- Django -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "kasparro.apps.KasparroConfig",
    "etl",
    "api",
    "django_celery_beat",
    "django_prometheus",
    "django_structlog",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "kasparro.apps.PipelineAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
# Django 6 wants django.contrib.postgres for an index of ours, which needs nothing of it. With the app, each process
# would ask PostgreSQL for types that no table has.
SILENCED_SYSTEM_CHECKS = ["postgres.E005"]
MIDDLEWARE = [
    "api.middleware.identify",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "api.middleware.log_requests",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "api.middleware.name_user",
    "django.contrib.messages.middleware.MessageMiddleware",
    "api.access.login.throttle_logins",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ROOT_URLCONF = "kasparro.urls"
WSGI_APPLICATION = "kasparro.wsgi.application"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = False
TIME_ZONE = "UTC"
USE_TZ = True

SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(api/v1/)?(health|health/live|metrics)$"]  # requested over HTTP on the internal network
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS

# Logs go to standard error; standard output is for a command's result (`ingest --json`).
LOG_FORMAT = env.choice("LOG_FORMAT", "line" if DEBUG else "json", ("line", "json"))
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# One line per request, task and run, when it ends.
DJANGO_STRUCTLOG_CELERY_TASK_START_LOG_LEVEL = logging.DEBUG
logs.configure_structlog()
logging.captureWarnings(LOG_FORMAT == "json")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": logs.FORMATTERS,
    "handlers": {
        "standard_error": {"class": "kasparro.logs.StandardErrorHandler", "formatter": LOG_FORMAT},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["standard_error"], "level": "WARNING"},  # libraries' lines, in the same format
    "loggers": {
        **{
            name: {"handlers": ["standard_error"], "level": level, "propagate": False}
            for name, level in (
                *(("etl", "INFO"), ("api", "INFO"), ("kasparro", "INFO"), ("django_structlog", "INFO")),
                *(("celery", "WARNING"), ("django", "WARNING")),
            )
        },
        # Its warnings repeat the request's own line, and its errors repeat `request_failed`.
        "django.request": {"handlers": ["nowhere"], "propagate": False},
        # Shows the message of the exception that ended a task; `task_failed` reports it without the message.
        "celery.app.trace": {"handlers": ["nowhere"], "propagate": False},
        # etl/runs logs a receiver's exception by its type only, because its message may show a secret.
        "django.dispatch": {"handlers": ["nowhere"], "propagate": False},
        "py.warnings": {"handlers": ["standard_error"], "propagate": False},
        "urllib3": {"level": "ERROR"},  # its lines show URLs with their queries, which may contain credentials
    },
}

ENVIRONMENT_PROBLEMS = tuple(env.problems)
