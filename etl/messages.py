"""Sends the messages about tasks in one form, regardless of the project's Celery settings."""

from celery import current_app


def send(task: str, *arguments: object) -> None:
    """Send one message, without retries. Raises kombu's OperationalError if the broker can't be reached."""
    current_app.send_task(task, args=list(arguments), retry=False, serializer="json", ignore_result=True)
