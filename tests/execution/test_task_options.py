"""The options of the tasks hold under any project's settings of Celery."""

from typing import Any

from celery import Celery

import etl.tasks
from etl import messages
from etl.conf import conf

HOSTILE = {
    "task_acks_late": False,
    "task_acks_on_failure_or_timeout": False,
    "task_reject_on_worker_lost": False,
    "task_soft_time_limit": 1,
    "task_time_limit": 1,
    "task_ignore_result": False,
    "task_store_errors_even_if_ignored": True,
    "task_track_started": True,
    "task_serializer": "pickle",
}
NAMES = ("run", "queue_due", "sweep", "prune", "discard", "send_alerts")


def test_each_task_is_acknowledged_late_and_limited_under_any_settings() -> None:
    app = Celery(set_as_current=False)
    app.conf.update(HOSTILE)
    tasks: dict[str, Any] = {name: task for name, task in app.tasks.items() if name.startswith("etl.")}
    assert tasks.keys() == {f"etl.tasks.{name}" for name in NAMES}
    longest = conf.ETL_TASK_SECONDS + conf.ETL_BATCH_DEADLINE_SECONDS
    for name, task in tasks.items():
        assert (task.acks_late, task.acks_on_failure_or_timeout, task.reject_on_worker_lost) == (True, True, True), name
        assert longest <= task.soft_time_limit < task.time_limit, name
        assert (task.ignore_result, task.store_errors_even_if_ignored, task.track_started) == (True, False, False), name
        assert task.serializer == "json", name


def test_a_message_is_json_under_any_settings() -> None:
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.update(HOSTILE)
    previous = etl.tasks.run.app
    app.set_current()
    try:
        messages.send("etl.tasks.run", 7)
        with app.connection_for_read() as broker, broker.SimpleQueue("celery") as queue:
            message: Any = queue.get(timeout=60)
            message.ack()
    finally:
        previous.set_current()
    assert (message.content_type, message.payload[0]) == ("application/json", [7])
    assert message.headers["ignore_result"] is True
