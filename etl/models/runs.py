"""Runs, with the keys that requested them and their event logs."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from etl.clock import NOW
from etl.models.columns import choices_of, known_words
from etl.vocabulary import Reason, Status, Trigger

STOPPED = (Reason.CANCELLED, Reason.RELEASED, Reason.INTERRUPTED)
"""Reasons of runs that an operator stopped: they say nothing about their source."""


class Run(models.Model):
    """One order to bring one source up to date. The row is the order; a message about it is only a hint."""

    # identification
    source = models.TextField()
    key = models.TextField(unique=True)
    trigger = models.TextField(choices=choices_of(Trigger))
    at_terminal = models.BooleanField(default=False, help_text="A terminal runs it, not a worker.")
    options = models.JSONField(default=dict, help_text="full, since and until, selection; empty for a plain run.")
    # lifecycle
    status = models.TextField(choices=choices_of(Status))
    reason = models.TextField(blank=True, default="", help_text="One of vocabulary.Reason.")
    verdict = models.JSONField(
        default=list, db_default=[], help_text="The gates that the read has missed; see JudgedRead."
    )
    is_unchanged = models.BooleanField(
        default=False, db_default=False, help_text="The content was that of the last read; its verdict was repeated."
    )
    error = models.TextField(blank=True, default="")
    epoch = models.BigIntegerField(null=True)
    attempt = models.PositiveSmallIntegerField(default=1)
    not_before = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    sends = models.PositiveIntegerField(default=0, db_default=0, help_text="How many messages about it were sent.")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # position in the source's content
    cursor_before = models.JSONField(null=True)
    cursor_after = models.JSONField(null=True)
    # counters
    seen = models.BigIntegerField(default=0)
    new = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    duplicate = models.BigIntegerField(default=0)
    skipped = models.BigIntegerField(default=0, db_default=0, help_text="Records that the source does not want.")
    quarantined = models.BigIntegerField(default=0)
    waiting = models.BigIntegerField(
        default=0, db_default=0, help_text="How many of the quarantined only wait for the rows to which they refer."
    )
    removed = models.BigIntegerField(
        default=0, db_default=0, help_text="Records that a complete read lacked; not part of seen."
    )
    versions = models.BigIntegerField(default=0, db_default=0, help_text="How many raw records it landed.")
    pruned_raw = models.BigIntegerField(
        default=0, db_default=0, help_text="How many of the raw records that it landed are pruned."
    )

    class Meta:
        db_table = "etl_runs"
        permissions = (("operate", "Can start, cancel and replay runs, discard and acknowledge"),)
        ordering = ("-created_at", "-id")
        # The partial indexes keep /stats and /health fast: they hold the open runs, and find each source's last run.
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="etl_runs_newest"),
            models.Index(fields=("source",), condition=Q(status__in=("queued", "running")), name="etl_runs_open"),
            models.Index(
                fields=("source", "-finished_at"), condition=Q(finished_at__isnull=False), name="etl_runs_last_closed"
            ),
            models.Index(
                fields=("source", "-finished_at"),
                condition=Q(finished_at__isnull=False, seen__gt=0),
                name="etl_runs_last_that_read",
            ),
            models.Index(
                fields=("source", "-finished_at"),
                condition=Q(finished_at__isnull=False) & ~Q(trigger="replay") & ~Q(reason__in=STOPPED),
                name="etl_runs_last_reflecting",
            ),
            models.Index(
                fields=("source", "-finished_at"),
                condition=Q(finished_at__isnull=False, status__in=("success", "partial")) & ~Q(trigger="replay"),
                name="etl_runs_last_success",
            ),
        )
        constraints = (
            known_words("status", Status, "etl_runs"),
            known_words("trigger", Trigger, "etl_runs"),
            models.UniqueConstraint(fields=("source",), condition=Q(status="running"), name="etl_runs_one_running"),
            # A run that has started and waits to resume does not block a new one: both may be queued at the same time.
            models.UniqueConstraint(
                fields=("source",),
                condition=Q(status="queued", options={}, started_at=None),
                name="etl_runs_one_queued_plain",
            ),
            models.CheckConstraint(
                condition=Q(
                    seen=F("new") + F("updated") + F("unchanged") + F("duplicate") + F("skipped") + F("quarantined"),
                    new__gte=0,
                    updated__gte=0,
                    unchanged__gte=0,
                    duplicate__gte=0,
                    skipped__gte=0,
                    quarantined__gte=0,
                    removed__gte=0,
                ),
                name="etl_runs_counters_add_up",
            ),
            models.CheckConstraint(
                condition=Q(waiting__gte=0, waiting__lte=F("quarantined")), name="etl_runs_waiting_were_refused"
            ),
            models.CheckConstraint(
                condition=Q(versions__gte=0, versions__lte=F("new") + F("updated")),
                name="etl_runs_versions_were_counted",
            ),
            models.CheckConstraint(
                condition=Q(pruned_raw__gte=0, pruned_raw__lte=F("versions")), name="etl_runs_pruned_raw_was_landed"
            ),
            models.CheckConstraint(
                condition=Q(status__in=("queued", "running"), finished_at=None)
                | Q(status__in=("success", "partial", "failed"), finished_at__isnull=False),
                name="etl_runs_finished_when_closed",
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(started_at__isnull=False, epoch__isnull=False),
                name="etl_runs_running_is_claimed",
            ),
        )

    def __str__(self) -> str:
        return f"run {self.pk} of {self.source}"

    @property
    def duration_s(self) -> float | None:
        """Seconds from the first start to the end, to the millisecond; None if it has not started or ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds(), 3)


class RunKey(models.Model):
    """An additional key whose request got an existing run. Repeating the request returns the same run."""

    key = models.TextField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="further_keys")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "etl_run_keys"

    def __str__(self) -> str:
        return self.key


class RunEvent(models.Model):
    """One line of a run's event log."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    kind = models.TextField(help_text="One of vocabulary.EventKind.")
    message = models.TextField()
    created_at = models.DateTimeField(db_default=NOW)

    class Meta:
        db_table = "etl_run_events"
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"
