"""Sends the messages about tasks, in one form, whatever the project's settings of Celery are."""

from celery import current_app


def send(task: str, *arguments: object) -> None:
    """Send one message, without retries. Raises kombu's OperationalError if the broker can't be reached."""
    current_app.send_task(task, args=list(arguments), retry=False, serializer="json", ignore_result=True)
