"""Sends the alerts that wait, to ADMINS by mail and to each of ALERT_WEBHOOKS, at least once each.

A process claims an alert by moving the time of its next try; if it dies, another one sends the alert then. Each
receiver that has accepted it is stored at once, so only the others get it again. After a day it is given up.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.mail import mail_admins
from django.db.models import Q
from kombu.exceptions import OperationalError as BrokerError

from etl.clock import NOW, as_utc, from_now, read_clock, write_time
from etl.conf import conf
from etl.http.webhooks import NotDelivered, Webhook, parse_webhook, post
from etl.models import Alert, Run
from etl.storage.transactions import bounded_transaction
from etl.vocabulary import AlertState

logger = logging.getLogger(__name__)

SEND_TASK = "etl.tasks.send_alerts"
MAIL = "mail"
SECONDS_PER_RECEIVER = 20
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 30, 3600
GIVEN_UP_AFTER = timedelta(days=1)
MOST_AT_ONCE = 100
"""The rest is left to the next sweep, so that a task ends in time."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """ADMINS, or one webhook."""

    webhook: Webhook | None = None

    @property
    def key(self) -> str:
        return self.webhook.key if self.webhook is not None else MAIL


def send_of_run(run: Run) -> None:
    """Send the closed run's alerts: at once if it ran at a terminal, as there may be no worker, otherwise in a task."""
    try:
        if run.at_terminal:
            send_waiting(Q(run_id=run.pk))
        else:
            request_sending()
    except Exception as error:  # noqa: BLE001  (boundary: the run is closed, regardless of what fails here)
        logger.warning("The alerts of run %d are left to the sweeper: %s", run.pk, type(error).__name__)


def request_sending() -> None:
    """Send the message that lets a worker send the alerts. Without a broker the sweeper sends it later."""
    try:
        current_app.send_task(SEND_TASK, retry=False)
    except (BrokerError, OSError) as error:
        logger.warning("The task that sends alerts could not be queued: %s", type(error).__name__)


def has_waiting() -> bool:
    """Whether an alert is to be sent now."""
    return Alert.objects.filter(state=AlertState.WAITING, next_at__lte=NOW).exists()


def send_waiting(only: Q = Q()) -> None:  # noqa: B008
    """Send the alerts that wait and are due, oldest first."""
    receivers = list(_list_receivers())
    for _ in range(MOST_AT_ONCE):
        alert = _claim(only, seconds=SECONDS_PER_RECEIVER * (len(receivers) + 1))
        if alert is None:
            return
        _send(alert, receivers)


def _list_receivers() -> Iterator[Receiver]:
    if settings.ADMINS:
        yield Receiver()
    for address in conf.ALERT_WEBHOOKS:
        yield Receiver(parse_webhook(address))


def _claim(only: Q, *, seconds: float) -> Alert | None:
    """Take the next alert for this number of seconds."""
    with bounded_transaction():
        due = Alert.objects.filter(only, state=AlertState.WAITING, next_at__lte=NOW).order_by("next_at")
        alert = due.select_for_update(skip_locked=True).first()
        if alert is not None:
            alert.attempts += 1
            _change(alert, attempts=alert.attempts, next_at=from_now(seconds))
        return alert


def _send(alert: Alert, receivers: list[Receiver]) -> None:
    errors = []
    for each in receivers:
        if each.key not in alert.sent_to:
            try:
                _deliver(alert, each)
            except NotDelivered as error:
                errors.append(str(error))
            else:
                alert.sent_to.append(each.key)
                with bounded_transaction():
                    _change(alert, sent_to=alert.sent_to)
    with bounded_transaction():
        _settle(alert, "; ".join(errors))


def _settle(alert: Alert, error: str) -> None:
    if not error:
        # The receivers may have been removed from the settings since the alert was made.
        _change(alert, state=AlertState.SENT if alert.sent_to else AlertState.NO_RECEIVER, error="")
    elif read_clock() - as_utc(alert.created_at) > GIVEN_UP_AFTER:
        logger.error("Alert %s (%s) was not delivered for a day and is given up: %s", alert.pk, alert.subject, error)
        _change(alert, state=AlertState.GIVEN_UP, error=error)
    else:
        wait = min(FIRST_WAIT_SECONDS * 2 ** min(alert.attempts - 1, 10), LONGEST_WAIT_SECONDS)
        logger.warning("The alert about %s could not be sent: %s; next try in %d s", alert.source, error, wait)
        _change(alert, next_at=from_now(wait), error=error)


def _change(alert: Alert, **columns: Any) -> None:
    Alert.objects.filter(pk=alert.pk).update(**columns)


def _deliver(alert: Alert, to: Receiver) -> None:
    if to.webhook is not None:
        body = json.dumps(_describe_for_slack(alert) if to.webhook.is_slack else _describe(alert)).encode()
        post(to.webhook, body, event_id=str(alert.event_id), at=read_clock(), secret=conf.ALERT_WEBHOOK_SECRET)
        return
    try:
        mail_admins(alert.subject, alert.text)
    except Exception as error:  # noqa: BLE001  (a mail backend may raise anything, with its password in the message)
        raise NotDelivered(f"mail: {type(error).__name__}") from None


def _describe(alert: Alert) -> dict[str, Any]:
    return {
        "id": str(alert.event_id),
        "kind": alert.kind,
        "source": alert.source,
        "standing": alert.standing,
        "subject": alert.subject,
        "text": alert.text,
        "at": write_time(alert.created_at),
        **alert.details,
    }


def _describe_for_slack(alert: Alert) -> dict[str, str]:
    """Return the message with Slack's control characters escaped: a source's words must not address a channel."""
    text = f"{alert.subject}\n{alert.text}"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
