"""gunicorn's own log lines: of a start, a reload, a worker that is killed, a refused request and a wrong setting."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.api.web import serving, start_web
from tests.processes import wait_until


def test_each_line_of_a_web_process_is_json_with_its_level_and_time(prepared: None, tmp_path: Path) -> None:
    with serving(tmp_path, WEB_PROCESSES="2") as web:
        web.send_raw(b"nonsense\r\n\r\n")
        os.kill(web.list_processes()[0], signal.SIGKILL)
        wait_until(lambda: web.log.read_text().count("Booting worker") == 3)
        web.process.send_signal(signal.SIGHUP)
        wait_until(lambda: web.log.read_text().count("Booting worker") == 5)
    lines = web.read_log()
    assert {"gunicorn.error"} <= {line["logger"] for line in lines}
    assert [line for line in lines if not {"event", "level", "logger", "timestamp"} <= line.keys()] == []
    events = " ".join(line["event"] for line in lines)
    for words in ("Starting gunicorn", "Booting worker with pid", "was sent SIGKILL", "Handling signal: hup"):
        assert words in events


def test_a_web_process_with_a_wrong_setting_says_so_in_json(prepared: None, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, OSError)):
        start_web(tmp_path, API_THROTTLE_TOKEN="often")
    lines = [json.loads(line) for line in (tmp_path / "web-0.log").read_text().splitlines()]
    assert any("API_THROTTLE_TOKEN='often' can't be used" in line["event"] for line in lines)
