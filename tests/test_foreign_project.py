"""Kasparro in a foreign project, examples/shop: everything works and is the same under any settings."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis
from django.apps import apps
from django.conf import settings as django_settings
from django.db import connection

from etl.storage import driver
from etl.supervision import liveness
from tests.processes import PATIENCE_SECONDS, ROOT, test_database_url, wait_until
from tests.settings import RUN_FOLDER

pytestmark = pytest.mark.servers

SHOP = ROOT / "examples/shop"

VARIANTS = {
    "as it is": "",
    "no admin": """
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "django.contrib.admin"]
ROOT_URLCONF = "without_admin"
""",
    "etl before all other apps": """
INSTALLED_APPS = ["api", "etl", *(app for app in INSTALLED_APPS if app not in ("api", "etl"))]
""",
    "aware times in UTC, and no transaction around requests": """
USE_TZ, TIME_ZONE = True, "UTC"
DATABASES["default"]["ATOMIC_REQUESTS"] = False
""",
    "a Redis that is down": """
REDIS_URL = "redis://127.0.0.1:1/0"
""",
    "a Celery app that acknowledges early and runs tasks at once": """
SHOP_CELERY_TASK_ACKS_LATE, SHOP_CELERY_TASK_ALWAYS_EAGER = False, True
SHOP_CELERY_TASK_TIME_LIMIT, SHOP_CELERY_TASK_SERIALIZER = 1, "pickle"
""",
}

EXPECTED = {
    "ingest": [3, 3, 1, "partial"],
    "commands": {"check": 0, "sources": 0, "runs": 0, "reads": 0, "verify": 0, "sweep": 0, "drift": 0},
    "pages": {
        "statuses": [200],
        "home": [True, False],
        "office on each": True,
        "styled": True,
        "linked to the overview": True,
        "overview": ["acme_products", True, True, True],
    },
    "addresses": {
        "the shop's health": {"shop": "open"},
        "the shop's run": "/api/runs/7",
        "ours": "/supply/api/v1/runs/7",
        "anonymous": [401],
        "health": 200,
    },
    "reading": {"statuses": [200], "records": ["A-1", "A-3"], "times are all UTC": True, "may not operate": 403},
    "documents": {
        "title": "Kasparro",
        "only ours": ["/supply"],
        "errors are described": True,
        "page": 200,
        "root": True,
    },
    "operating": {
        "queued": [202, True],
        "cancelled": [200, "failed"],
        "again": 409,
        "discarded": [200, "discarded"],
        "unknown": 404,
    },
    "pressing": 302,
    "people": [["colleague@shop.example", "colleague@shop.example", True], [None, None, False]],
    "tasks": [6, [[True, True]], "shop"],
}


class Shop:
    """The shop in a folder of its own, on the server of the tests."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.database = database
        values = connection.settings_dict
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            **{f"SHOP_DB_{name}": str(values[name]) for name in ("USER", "PASSWORD", "PORT")},
            "SHOP_DB_HOST": str(values["HOST"] or values.get("OPTIONS", {}).get("host", "")),
            "SHOP_DB_NAME": database,
            "SHOP_DB_ANALYTICS": f"{database}_analytics",
            "PYTHONPATH": f"{folder}:{ROOT}",
            "TEST_FOLDER": str(RUN_FOLDER),
        }

    def run(self, *arguments: str, settings: str = "") -> "subprocess.CompletedProcess[str]":
        """Run Python with these arguments, and with these lines after the shop's settings."""
        process = self.start(*arguments, settings=settings)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def migrate(self, *options: str, settings: str = "") -> None:
        migrated = self.run("manage.py", "migrate", "-v0", *options, settings=settings)
        assert (migrated.returncode, migrated.stdout) == (0, ""), migrated.stderr

    def start(self, *arguments: str, settings: str = "") -> "subprocess.Popen[str]":
        (self.folder / "variant.py").write_text(f"from shop.settings import *\n{settings}")
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.environment, "DJANGO_SETTINGS_MODULE": "variant"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fetch(self, statement: str, suffix: str = "") -> list[tuple[Any, ...]]:
        """Return the rows from the shop's database, or from another one of the shop."""
        url = urlunsplit(urlsplit(test_database_url())._replace(path=f"/{self.database}{suffix}"))
        with driver.open_session(url) as session, session.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def open_shop(folder: Path, name: str, *others: str) -> Iterator[Shop]:
    """The shop in a new database, with others for the shop, on the server of the tests."""
    shutil.copytree(SHOP, folder, dirs_exist_ok=True)
    names = [f"{connection.settings_dict['NAME']}_{each}" for each in (name, *others)]
    try:
        with connection.cursor() as cursor:
            for each in names:
                cursor.execute(f'DROP DATABASE IF EXISTS "{each}" WITH (FORCE)')
                cursor.execute(f'CREATE DATABASE "{each}"')
        yield Shop(folder, names[0])
    finally:
        with connection.cursor() as cursor:
            for each in names:
                cursor.execute(f'DROP DATABASE IF EXISTS "{each}" WITH (FORCE)')


@pytest.fixture(scope="module")
def shop(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop, migrated."""
    folder = tmp_path_factory.mktemp("shop")
    with django_db_blocker.unblock(), open_shop(folder, "shop") as made:
        urls = (folder / "shop/urls.py").read_text()
        (folder / "without_admin.py").write_text("".join(line for line in urls.splitlines(True) if "admin" not in line))
        made.migrate()
        yield made


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_works_in_a_foreign_project(shop: Shop, variant: str) -> None:
    done = shop.run("-m", "tests.foreign_visit", settings=VARIANTS[variant])
    without = dict.fromkeys(("pages", "pressing", "people")) if variant == "no admin" else {}
    assert_as_expected(done, EXPECTED | without)


def assert_as_expected(done: "subprocess.CompletedProcess[str]", expected: dict[str, Any]) -> None:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wrong = {name: found[name] for name in expected if found[name] != expected[name]}
    assert wrong == {}, "\n".join(f"{name}: {each}" for name, each in wrong.items())


TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
OF_KASPARRO = {
    model._meta.db_table for label in ("etl", "kasparro_api") for model in apps.get_app_config(label).get_models()
}


def test_kasparros_tables_may_be_in_another_database(
    django_db_setup: None, django_db_blocker: Any, tmp_path: Path
) -> None:
    """The shop's users, their tokens, the admin's log and the schedules are in `default`, everything else is not."""
    settings = "from shop.stock.settings import *\n"
    with django_db_blocker.unblock(), open_shop(tmp_path, "chain", "chain_analytics") as chain:
        chain.migrate(settings=settings)
        chain.migrate("--database", "analytics", settings=settings)
        in_default = {name for (name,) in chain.fetch(TABLES)}
        in_analytics = {name for (name,) in chain.fetch(TABLES, "_analytics")}
        assert in_default & OF_KASPARRO == {"api_tokens"}
        assert in_analytics == OF_KASPARRO - {"api_tokens"} | {"stock_article", "django_migrations"}
        assert_as_expected(chain.run("-m", "tests.foreign_visit", settings=settings), EXPECTED)
        with work(chain, "acme_articles", settings):
            articles = "SELECT number FROM stock_article ORDER BY id"
            wait_until(lambda: chain.fetch(articles, "_analytics") == [("A-1",), ("A-3",)])
        needed = chain.run("manage.py", "makemigrations", "--check", "--dry-run", settings=settings)
        assert needed.returncode == 0, needed.stdout


def test_a_foreign_project_needs_no_migration(shop: Shop) -> None:
    done = shop.run("manage.py", "makemigrations", "--check", "--dry-run")
    assert (done.returncode, "No changes" in done.stdout or "Keine" in done.stdout) == (0, True), done.stdout


def test_check_names_all_that_a_project_lacks(shop: Shop) -> None:
    (shop.folder / "other").mkdir()
    (shop.folder / "other/api.py").touch()
    settings = """
import sys
sys.path.append("other")
sys.modules["psycopg"] = sys.modules["psycopg2"] = None  # as if they were not installed
INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in ("django_celery_beat", "django.contrib.postgres")]
SILENCED_SYSTEM_CHECKS = ["postgres.E005"]  # of Django 6, for that app, which can't be imported without a driver
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
    done = shop.run("manage.py", "check", settings=settings)
    assert done.returncode == 1
    named = ("(etl.E031)", 'HINT: Add "django_celery_beat"', "(etl.E032)", "HINT: Use the engine", "(etl.E033)")
    driver_named = ("(etl.E035)", "psycopg is not installed, and psycopg2 is not installed", "HINT: Install one")
    files = (str(ROOT / "api/__init__.py"), str(shop.folder / "other/api.py"), "HINT: Rename")
    assert [text for text in (*named, *driver_named, *files) if text not in done.stderr] == [], done.stderr
    assert "4 issues" in done.stderr


def test_without_a_driver_each_command_names_it(shop: Shop) -> None:
    settings = """
import sys
sys.modules["psycopg"] = sys.modules["psycopg2"] = None
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "django.contrib.postgres"]
"""
    done = shop.run("manage.py", "sources", settings=settings)
    cause, hint = done.stderr.splitlines()[-2:]
    assert cause.startswith("django.core.exceptions.ImproperlyConfigured: (etl.E035) PostgreSQL's driver is missing")
    assert hint == '\tHINT: Install one: pip install "psycopg[binary]".'


OF_THE_DATABASE = ("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler")
BEATS = {
    "the schedule in the database": (OF_THE_DATABASE, "", liveness.BEAT),
    "a schedule of its own": ((), "", liveness.IDLE_BEAT),
    "a schedule of its own with the sweep": (
        (),
        'SHOP_CELERY_BEAT_SCHEDULE = {"supply": {"task": "etl.tasks.sweep", "schedule": 60}}',
        liveness.BEAT,
    ),
}


@pytest.mark.parametrize("beat", BEATS)
def test_a_beat_of_the_projects_own_app_shows_that_it_is_alive(shop: Shop, beat: str, tmp_path: Path) -> None:
    arguments, lines, name = BEATS[beat]
    settings = f"REDIS_URL = {django_settings.REDIS_URL!r}\nREDIS_KEY_PREFIX = 'shop:beat:'\n{lines}"
    files = ("--pidfile=", "--schedule", str(tmp_path / "schedule"))
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    process = shop.start("-m", "celery", "-A", "shop", "beat", *files, *arguments, settings=settings)
    try:
        wait_until(lambda: client.zrange("shop:beat:alive", 0, -1) == [name.encode()])
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert client.zrange("shop:beat:alive", 0, -1) == []
    finally:
        process.kill()
        process.communicate()


@contextmanager
def work(shop: Shop, source: str, settings: str = "") -> Iterator[None]:
    """Queue a run of the source, and start a worker of the shop's own app. At the end, it stops when it is asked to."""
    own = {"REDIS_URL": django_settings.REDIS_URL, "REDIS_KEY_PREFIX": "shop:"}
    lines = [settings, *(f"{name} = {value!r}" for name, value in own.items())]
    lines += [f"SHOP_CELERY_BROKER_URL = {django_settings.CELERY_BROKER_URL!r}"]
    lines += ["ETL_RESEND_SECONDS = 0.1"]  # the first message goes to a broker in the memory of its process
    lines += ['SHOP_CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": "shop:"}']
    queued = shop.run("manage.py", "ingest", source, "--queue", settings=settings)
    assert queued.returncode == 0, queued.stderr
    worker = shop.start(
        "-m", "celery", "-A", "shop", "worker", "-c", "1", "--without-gossip", settings="\n".join(lines)
    )
    try:
        yield
        worker.terminate()
        assert worker.wait(PATIENCE_SECONDS) == 0
    finally:
        worker.kill()
        worker.communicate()


def test_a_worker_of_the_projects_own_app_sweeps_at_its_start_and_shows_that_it_is_alive(shop: Shop) -> None:
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    with work(shop, "acme_products"):
        wait_until(
            lambda: shop.fetch("SELECT status FROM etl_runs WHERE trigger = 'command' ORDER BY id")[-1] != ("queued",)
        )
        wait_until(lambda: client.zrange("shop:alive", 0, -1))
    assert client.zrange("shop:alive", 0, -1) == []
