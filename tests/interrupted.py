"""A test run that waits to be ended, with one of every process that tests start; test_interrupted.py ends it."""

import os
import time
from pathlib import Path

from django.contrib.auth.models import User

from kasparro.embedded import Servers
from tests.api.web import serving
from tests.processes import Project, wait_until
from tests.settings import RUN_FOLDER


def test_everything_runs_forever(project: Project, own_servers: Servers, tmp_path: Path) -> None:
    project.environment |= {"REDIS_URL": own_servers.redis_url(), "KASPARRO_HOME": str(own_servers.home)}
    with serving(tmp_path, WEB_PROCESSES="2"):
        project.start("up", "--port", "0")  # its processes are not children of this process
        wait_until(User.objects.filter(username="admin").exists)
        ready = Path(os.environ["READY_FILE"])
        ready.with_suffix(".part").write_text(str(RUN_FOLDER))
        ready.with_suffix(".part").rename(ready)  # a reader never sees an empty file
        time.sleep(600)
