"""The HEALTHCHECK of a container: `python -m kasparro.alive web|worker|beat` exits with 1 if its process is not alive.

It checks only this process; /health reports on the database, Redis and the other processes. An exit status of 1
makes platforms restart the container, so it is returned only for problems that a restart can fix.
"""

import http.client
import os
import socket
import sys

from etl.supervision import liveness

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

PATIENCE_SECONDS = 3


def find_fault(process: str) -> str | None:
    """Return why `process` does not look alive; None if it does, or if Redis does not respond."""
    return _find_fault_of_web() if process == "web" else _find_fault_in_liveness(process)


def _find_fault_of_web() -> str | None:
    # PORT is gunicorn's variable, not a setting of this project. urllib would send the request to a proxy.
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The web process does not respond: {type(error).__name__}."
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"The web process responds with status {status}."


def _find_fault_in_liveness(process: str) -> str | None:
    alive = liveness.find_alive()
    if alive is None:
        return None  # Redis does not respond, and restarting this process would not fix that
    if process == liveness.BEAT:
        is_alive = (alive.beat_age_s, alive.idle_beat_age_s) != (None, None)  # a restart brings no entry back
        return None if is_alive else "Beat has not reported that it is alive."
    name = f"celery@{socket.gethostname()}"
    is_alive = any(worker == name for worker, _ in alive.workers)
    return None if is_alive else f"{name} has not reported that it is alive."


def main() -> None:
    """Exit with 0, or print the problem and exit with 1."""
    if len(sys.argv) != 2 or sys.argv[1] not in ("web", "worker", "beat"):
        sys.exit("Usage: python -m kasparro.alive web|worker|beat")
    sys.exit(find_fault(sys.argv[1]))


if __name__ == "__main__":
    main()
