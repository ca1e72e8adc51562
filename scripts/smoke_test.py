"""Proves that a running stack works, end to end and only over HTTP: scripts/smoke_test.sh [BASE_URL].

It runs each source twice through Celery and checks the results. Environment variables:

    TOKEN                token with the scope operate; if unset, manage.py creates one and the script revokes it
    SANDBOX_URL          URL of the sandbox (sandbox/server.py) if that is the stack's CoinGecko; PUT /plan sets faults
    KILL_WORKER_COMMAND  command that kills the worker, for example docker compose kill -s KILL worker
    WORKER_PID           instead of the command: a worker on this host, killed with its process group if it leads one
    SMOKE_SECONDS        longest wait for each condition (120)

Checks that are not possible here are reported as skipped. Exit status: 0 if every check passed, 1 if one failed, 2 if
the stack can't be reached at all.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parent.parent
SANDBOX_SOURCE = "coingecko_api"
ENDED_WELL = ("success", "partial")
CLOSED = (*ENDED_WELL, "failed")
LOOK_SECONDS = 0.5
ANSWER_SECONDS = 20
MOST_SUCCESSORS = 3


class Failed(Exception):
    """A check failed; the message says what was observed."""


class Skipped(Exception):
    """A check is not possible here; the message says why."""


def expect(claim: object, seen: str) -> None:
    """Fail the check unless the claim is true."""
    if not claim:
        raise Failed(seen)


class Stack:
    """The stack at a base URL, used with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.patience = float(os.environ.get("SMOKE_SECONDS", "120"))
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy between this script and the stack

    def ask(self, method: str, path: str, *, token: str | None = None, **more: Any) -> requests.Response:
        """Send one request without following redirects. `token` replaces the stack's token; empty: no token."""
        token = self.token if token is None else token
        headers = {"Authorization": f"Token {token}"} if token else {}
        address = path if path.startswith("http") else f"{self.url}{path}"
        try:
            return self.session.request(
                method, address, headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False, **more
            )
        except requests.RequestException as error:
            raise Failed(f"{method} {path}: {type(error).__name__}") from error

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of a GET; fail the check if its status is not 200."""
        answer = self.ask("GET", path, params=parameters)
        expect(answer.status_code == 200, f"GET {path} returned {answer.status_code}: {answer.text[:200]}")
        return answer.json()

    def start(self, source: str, *, full: bool = False) -> int:
        """Queue a run and return its id."""
        answer = self.ask("POST", "/api/v1/runs", json={"source": source, "full": full})
        expect(answer.status_code == 202, f"POST /runs returned {answer.status_code}: {answer.text[:200]}")
        return int(find_row(answer.json())["id"])

    def read_run(self, run_id: int) -> dict[str, Any]:
        return find_row(self.get(f"/api/v1/runs/{run_id}"))

    def wait_for(self, what: str, look: Callable[[], Any]) -> Any:
        """Call `look` until its result is true, and return that result."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(LOOK_SECONDS)
        raise Failed(f"not within {self.patience:g} s: {what}")

    def finish(self, run_id: int) -> dict[str, Any]:
        """Wait until the run is closed, and return it."""

        def look() -> dict[str, Any] | None:
            run = self.read_run(run_id)
            return run if run["status"] in CLOSED else None

        return self.wait_for(f"run {run_id} is closed", look)  # type: ignore[no-any-return]

    def finish_well(self, run_id: int) -> dict[str, Any]:
        """Like `finish`, but fail the check unless the run succeeded and its counters add up."""
        run = self.finish(run_id)
        expect(run["status"] in ENDED_WELL, f"run {run_id} ended {run['status']}/{run['reason']}: {run['error']}")
        outcomes = ("new", "updated", "unchanged", "duplicate", "quarantined")
        expect(run["seen"] == sum(run[name] for name in outcomes), f"the counters of run {run_id} do not add up: {run}")
        return run

    def count_records(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of records and raw records per source."""
        rows = self.get("/api/v1/sources")["data"]
        return {row["source"]: (row["records"], row["raw_records"]) for row in rows}


def find_row(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a response, with or without an envelope around it."""
    row = answer.get("data", answer)
    return row if isinstance(row, dict) else answer


class Report:
    """Prints one line per check, and counts the checks."""

    def __init__(self) -> None:
        self.passed, self.failed, self.skipped = 0, 0, 0

    @contextmanager
    def check(self, name: str) -> Iterator[list[str]]:
        """Run a check, which fails if an error is raised inside. If it passes, the notes in the list are printed."""
        notes: list[str] = []
        try:
            yield notes
        except Skipped as reason:
            self.skipped += 1
            self._say("skip", name, str(reason))
        except (Failed, LookupError, TypeError, ValueError) as error:
            self.failed += 1
            self._say("FAIL", name, str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}")
        else:
            self.passed += 1
            self._say("ok", name, ", ".join(notes))

    def _say(self, outcome: str, name: str, text: str) -> None:
        print(f"{outcome:<5}{name}{': ' + text if text else ''}", flush=True)

    def end(self) -> int:
        """Print the last line and return the exit status."""
        count = self.passed + self.failed
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"\n{self.passed} of {count} checks passed{skipped}.", flush=True)
        return 1 if self.failed or not self.passed else 0


def check_health(stack: Stack, report: Report) -> None:
    with report.check("the web process responds"):
        answer = stack.ask("GET", "/health/live", token="")
        hint = " (with HTTPS on, use the URL of the TLS proxy)" if answer.is_redirect else ""
        expect(answer.status_code == 200, f"/health/live returned {answer.status_code}{hint}")
    with report.check("database, Redis, worker and beat are healthy") as notes:

        def look() -> bool:
            notes[:] = [stack.ask("GET", "/health", token="").text[:200]]
            return bool(json.loads(notes[0]).get("status") == "ok")

        try:
            stack.wait_for("/health is ok", look)
        except Failed as error:
            last = f"; last response: {''.join(notes)}" if notes else ""
            raise Failed(f"{error}{last}") from error
        notes.clear()


def check_access(stack: Stack, report: Report) -> None:
    with report.check("without a valid token nothing is shown") as notes:
        for path in ("/api/v1/data", "/api/v1/runs", "/api/v1/quarantine", "/api/v1/stats"):
            for token in ("", "no-such-token"):
                status = stack.ask("GET", path, token=token).status_code
                expect(status == 401, f"GET {path} returned {status}")
                notes[:] = ["401"]
    with report.check("without a token no run is started"):
        status = stack.ask("POST", "/api/v1/runs", token="", json={"source": "any"}).status_code
        expect(status == 401, f"POST /runs returned {status}")


def check_first_runs(stack: Stack, report: Report, sources: list[str]) -> None:
    with report.check("/stats and /data before the runs"):
        before = stack.get("/stats")
        stack.get("/data", limit=1)
    started: dict[str, int] = {}
    for source in sources:
        with report.check(f"{source}: a run through Celery") as notes:
            started[source] = stack.start(source)
            run = stack.finish_well(started[source])
            ending = "/".join(filter(None, (run["status"], run["reason"])))
            notes.append(f"run {run['id']} {ending}, {run['seen']} seen, {run['new']} new")
    with report.check("/stats and /data after the runs") as notes:
        after = stack.get("/stats")
        expect(after["total_runs"] >= before["total_runs"], "the number of runs has decreased")
        for source in started:
            records = after["records_by_source"][source]
            page = stack.get("/data", source=source, limit=1)
            expect(page["count"] == records, f"{source}: /stats says {records} records, /data {page['count']}")
            expect(bool(page["data"]) == bool(records), f"{source}: {records} records, but /data shows none")
        notes.append(f"{sum(after['records_by_source'].values()):,} records, {after['total_runs']} runs")


def check_second_runs(stack: Stack, report: Report, sources: list[str]) -> None:
    for source in sources:
        with report.check(f"{source}: a full run reads everything and writes nothing") as notes:
            before = stack.count_records()[source]
            run = stack.finish_well(stack.start(source, full=True))
            expect(not run["new"] + run["updated"], f"run {run['id']}: {run['new']} new, {run['updated']} updated")
            after = stack.count_records()[source]
            expect(before == after, f"records and raw records changed from {before} to {after}")
            notes.append(f"{run['seen']} seen, {run['unchanged']} unchanged")


def check_quarantine(stack: Stack, report: Report) -> None:
    with report.check("refused rows are in quarantine, with reason and place") as notes:
        waiting = stack.get("/stats")["quarantined_by_source"]
        if not sum(waiting.values()):
            raise Skipped("no row was refused")
        row = stack.get("/api/v1/quarantine", status="open", limit=1)["data"][0]
        expect(row["code"] and row["message"] and row["line"] >= 1, f"without reason or place: {row}")
        whole = find_row(stack.get(f"/api/v1/quarantine/{row['id']}"))
        expect(whole["original"], f"record {row['id']} has no original")
        notes.append(f"{sum(waiting.values())} open, e.g. line {row['line']} of {row['source']}: {row['message']}")


def check_retry(stack: Stack, report: Report, sources: list[str]) -> None:
    with report.check("a run retries after a 429 and records the retry") as notes:
        set_plan("429:1", sources)
        try:
            run = stack.finish_well(stack.start(SANDBOX_SOURCE, full=True))
        finally:
            set_plan("", sources)
        events = stack.get(f"/api/v1/runs/{run['id']}/events")["data"]
        retries = [event["message"] for event in events if event["kind"] == "retry"]
        expect(retries, f"run {run['id']} has no event of a retry")
        notes.append(retries[0])


def set_plan(faults: str, sources: list[str]) -> None:
    """Set the faults of the sandbox; skip the check if there is no sandbox."""
    url = os.environ.get("SANDBOX_URL", "")
    if not url or SANDBOX_SOURCE not in sources:
        raise Skipped("needs SANDBOX_URL")
    try:
        requests.put(f"{url.rstrip('/')}/plan", data=faults, timeout=ANSWER_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise Failed(f"the sandbox at SANDBOX_URL did not accept the plan: {type(error).__name__}") from error


def check_metrics(stack: Stack, report: Report, sources: list[str]) -> None:
    with report.check("metrics can be scraped and parsed") as notes:
        answer = stack.ask("GET", "/metrics")
        expect(answer.status_code == 200, f"/metrics returned {answer.status_code}")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        (up,) = families["etl_up"].samples
        expect(up.value == 1, "etl_up is not 1")
        counted = {
            sample.labels["source"]: sample.value
            for sample in families["etl_runs"].samples
            if sample.labels["status"] in ENDED_WELL and sample.value
        }
        missing = [source for source in sources if source not in counted]
        expect(not missing, f"no runs are counted for {', '.join(missing)}")
        notes.append(f"{len(families)} families")


def check_recovery(stack: Stack, report: Report, sources: list[str]) -> None:
    with report.check("after a worker is killed, its runs are completed") as notes:
        if not (os.environ.get("KILL_WORKER_COMMAND") or os.environ.get("WORKER_PID")):
            raise Skipped("needs KILL_WORKER_COMMAND or WORKER_PID")
        before = stack.count_records()
        if os.environ.get("SANDBOX_URL") and SANDBOX_SOURCE in sources:
            set_plan("slow:0.1", sources)  # so that the worker dies in the middle of the run
            run_ids = [stack.start(SANDBOX_SOURCE, full=True)]
            stack.wait_for("the run is running", lambda: stack.read_run(run_ids[0])["status"] == "running")
        else:
            run_ids = [stack.start(source, full=True) for source in sources]
        kill_worker()
        for run_id in run_ids:
            notes.append(follow(stack, run_id))
        after = stack.count_records()
        expect(before == after, f"records and raw records changed from {before} to {after}")


def kill_worker() -> None:
    command = os.environ.get("KILL_WORKER_COMMAND")
    if command:
        done = subprocess.run(command, shell=True, check=False)  # noqa: S602  (the caller's own command)
        expect(done.returncode == 0, f"KILL_WORKER_COMMAND exited with {done.returncode}")
        return
    pid = int(os.environ["WORKER_PID"])
    try:
        leads_group = os.getpgid(pid) == pid
        (os.killpg if leads_group else os.kill)(pid, signal.SIGKILL)  # includes its pool, which would continue
    except OSError as error:
        raise Failed(f"WORKER_PID={pid} can't be killed: {error.strerror}") from error


def follow(stack: Stack, run_id: int) -> str:
    """Wait until the run or one of its successors succeeds, and return their history."""
    history = f"run {run_id}"
    for _ in range(MOST_SUCCESSORS):
        run = stack.finish(run_id)
        if run["status"] in ENDED_WELL:
            return f"{history} {run['status']}"
        expect(run["reason"] == "abandoned", f"run {run_id} ended {run['status']}/{run['reason']}: {run['error']}")
        run_id = find_successor(stack, run)
        history += f" abandoned, run {run_id}"
    raise Failed(f"{history}: none of them succeeded")


def find_successor(stack: Stack, run: dict[str, Any]) -> int:
    """Return the id of the run that goes on with an abandoned one: its successor, or a run that was due before that."""

    def look() -> int | None:
        rows = stack.get("/api/v1/runs", source=run["source"], limit=20)["data"]
        return min((row["id"] for row in rows if row["id"] > run["id"]), default=None)

    return int(stack.wait_for(f"a run after run {run['id']}", look))


@contextmanager
def borrow_token() -> Iterator[str]:
    """Yield TOKEN, or a token that manage.py creates and then revokes."""
    if given := os.environ.get("TOKEN"):
        yield given
        return
    made = manage("token", "create", "smoke-test", "--scope", "operate", "--expires", "1")
    number = re.search(r"Token (\d+) of", made.stderr)
    if made.returncode or number is None:
        reason = (made.stderr.strip().splitlines() or ["?"])[-1]
        sys.exit(f"TOKEN is not set, and manage.py could not create a token: {reason}")
    try:
        yield made.stdout.strip()
    finally:
        manage("token", "revoke", number[1])


def manage(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run manage.py with the environment's settings."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603


def main() -> int:
    """Run all checks and return the exit status."""
    url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("BASE_URL", "http://127.0.0.1:8000")
    report = Report()
    with borrow_token() as token:
        stack = Stack(url, token)
        print(f"Checking the stack at {stack.url}\n", flush=True)
        try:
            check_health(stack, report)
            check_access(stack, report)
            rows = stack.get("/api/v1/sources")["data"]
        except Failed as error:
            print(f"The stack can't be used: {error}", flush=True)
            report.end()
            return 2
        sources = [row["source"] for row in rows if row["is_configured"]]
        check_first_runs(stack, report, sources)
        check_second_runs(stack, report, sources)
        check_quarantine(stack, report)
        check_retry(stack, report, sources)
        check_metrics(stack, report, sources)
        check_recovery(stack, report, sources)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
