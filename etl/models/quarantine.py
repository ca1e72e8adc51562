"""Refused records."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from etl.models.columns import HAS_USERS, ON_USER_DELETE, JsonTextField, choices_of, known_words
from etl.models.runs import Run
from etl.vocabulary import QuarantineStatus


class QuarantinedRecord(models.Model):
    """One refused record, at the first place it was found; identical records of one file share the row.

    `original_sha256` is the hash of its bytes. If the source ignores columns, it is the hash of the content without
    them. Where a record's number is a part of its id, it is the hash of both, so that identical records don't share the
    row.

    `status` is one of vocabulary.QuarantineStatus; etl/settlement.py changes it when a read has ended.
    """

    # place
    source = models.TextField()
    file = models.TextField(
        blank=True, default="", db_default="", help_text="The file's name, if the source's path is a pattern."
    )
    run = models.ForeignKey(Run, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    position = models.BigIntegerField()
    line = models.BigIntegerField()
    external_id = models.TextField(null=True, help_text="The record's id, if that part of it could be parsed.")
    # reason
    column_name = models.TextField(blank=True, default="")
    code = models.TextField(help_text="One of vocabulary.BreachCode.")
    message = models.TextField()
    awaits = models.TextField(null=True, help_text="The missing row for which it waits, as JSON: model, column, value.")
    # content
    payload = JsonTextField(null=True)
    original = models.BinaryField()
    original_length = models.BigIntegerField()
    original_sha256 = models.BinaryField()
    # lifecycle
    status = models.TextField(choices=choices_of(QuarantineStatus), default=QuarantineStatus.OPEN)
    read_number = models.BigIntegerField(null=True, help_text="The read that recorded it or reopened it.")
    raw_id = models.BigIntegerField(null=True, help_text="The raw record that it became when it was replayed.")
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=ON_USER_DELETE,
        db_constraint=HAS_USERS,
        db_index=False,
        related_name="+",
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "etl_quarantine"
        ordering = ("id",)
        # Partial, so that other rows cost nothing; docs/decisions/0012 has the cost.
        indexes = (
            models.Index(fields=("source", "id"), condition=Q(status="open"), name="etl_quarantine_open"),
            models.Index(fields=("source", "id"), condition=Q(status="gone"), name="etl_quarantine_gone"),
            models.Index(
                fields=("source", "external_id"), condition=Q(external_id__isnull=False), name="etl_quarantine_ids"
            ),
            models.Index(fields=("source", "awaits"), condition=Q(status="open"), name="etl_quarantine_waiting"),
            models.Index(fields=("raw_id",), condition=Q(raw_id__isnull=False), name="etl_quarantine_landed"),
        )
        constraints = (
            models.UniqueConstraint(fields=("source", "file", "original_sha256"), name="etl_quarantine_one_in_a_file"),
            known_words("status", QuarantineStatus, "etl_quarantine"),
        )

    def __str__(self) -> str:
        return f"{self.source} record {self.position}: {self.message}"
