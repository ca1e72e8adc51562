"""Whether the process of this container lives, for its HEALTHCHECK: `python -m kasparro.alive web|worker|beat`.

Of itself alone: whether the database, Redis or the others are well is told by /health. An exit status of 1 makes
platforms start the container anew, so what a new start can't mend is none.
"""

import http.client
import os
import socket
import sys

from etl.supervision import liveness

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kasparro.settings")

PATIENCE_SECONDS = 3


def find_fault(process: str) -> str | None:
    """Why `process` does not look alive; None if it does, or if nobody can tell."""
    return _find_fault_of_web() if process == "web" else _find_fault_in_liveness(process)


def _find_fault_of_web() -> str | None:
    # PORT is gunicorn's variable, not one of ours. No urllib: it would ask a proxy.
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/health/live")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"The web process does not answer: {type(error).__name__}."
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"The web process answers {status}."


def _find_fault_in_liveness(process: str) -> str | None:
    alive = liveness.find_alive()
    if alive is None:
        return None  # Redis does not answer: a new start of this process would mend nothing
    if process == liveness.BEAT:
        return None if alive.beat_age_s is not None else "Beat has not signed."
    name = f"celery@{socket.gethostname()}"
    return None if any(worker == name for worker, _ in alive.workers) else f"{name} has not signed."


def main() -> None:
    """Exit with 0 or 1, and say why."""
    if len(sys.argv) != 2 or sys.argv[1] not in ("web", "worker", "beat"):
        sys.exit("Use: python -m kasparro.alive web|worker|beat")
    sys.exit(find_fault(sys.argv[1]))


if __name__ == "__main__":
    main()
