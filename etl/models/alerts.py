"""Alerts to send, and the standing of each source that was announced last."""

import uuid

from django.db import models
from django.db.models import Q

from etl.clock import NOW
from etl.models.columns import choices_of, known_words
from etl.models.runs import Run
from etl.vocabulary import AlertKind, AlertState, StandingWord


class Alert(models.Model):
    """One message to all receivers, written in the transaction that changed the source's standing.

    `sent_to` lists the receivers that have accepted it: `mail`, or a webhook by host and hash, never by address.
    `next_at` is when it is tried next; a process that sends it moves that time, so that no other sends it too.
    """

    # content
    event_id = models.UUIDField(unique=True, default=uuid.uuid4, help_text="The same in each repeat.")
    source = models.TextField()
    kind = models.TextField(choices=choices_of(AlertKind))
    standing = models.TextField(choices=choices_of(StandingWord))
    run = models.ForeignKey(
        Run, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    subject = models.TextField()
    text = models.TextField()
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=NOW)
    # delivery
    state = models.TextField(choices=choices_of(AlertState))
    sent_to = models.JSONField(default=list)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(db_default=NOW)
    error = models.TextField(blank=True, default="", help_text="Why the last attempt failed.")

    class Meta:
        db_table = "etl_alerts"
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("next_at",), condition=Q(state="waiting"), name="etl_alerts_waiting"),
            models.Index(fields=("id",), condition=Q(state="given_up"), name="etl_alerts_given_up"),
        )
        constraints = (
            known_words("kind", AlertKind, "etl_alerts"),
            known_words("standing", StandingWord, "etl_alerts"),
            known_words("state", AlertState, "etl_alerts"),
        )

    def __str__(self) -> str:
        return self.subject


class AnnouncedStanding(models.Model):
    """A source: since when it is scheduled, and the standing that the last alert announced.

    While the source does better than announced, `milder_since` and `milder_runs` say since when and in how many runs.
    """

    source = models.TextField(primary_key=True)
    scheduled_since = models.DateTimeField(
        null=True, help_text="When its schedule was first seen, or last switched on. Null while it is off."
    )
    announced = models.TextField(choices=choices_of(StandingWord), default=StandingWord.FINE)
    milder_since = models.DateTimeField(null=True)
    milder_runs = models.PositiveSmallIntegerField(default=0)

    class Meta:
        db_table = "etl_standings"
        ordering = ("source",)
        constraints = (known_words("announced", StandingWord, "etl_standings"),)

    def __str__(self) -> str:
        return f"{self.source}: {self.announced}"
