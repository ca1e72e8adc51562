"""Reads that have ended, with their verdicts."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from etl.models.columns import HAS_USERS, ON_USER_DELETE, choices_of, known_words
from etl.models.runs import Run
from etl.vocabulary import ReadOutcome


class JudgedRead(models.Model):
    """One pass over one content, from the first record to the last or to the gate that failed it.

    `fingerprint` hashes contract, mapping and content; `content` hashes only the content. `verdict` is a list of
    {gate, figure, limit, message}, the gravest first; empty if nothing was wrong. Refused, met and removed records are
    counted over all runs of the read.
    """

    # identification
    source = models.TextField()
    number = models.BigIntegerField()
    run = models.ForeignKey(Run, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    content = models.TextField()
    fingerprint = models.TextField()
    file = models.TextField(
        blank=True, default="", db_default="", help_text="The file's name, if the source's path is a pattern."
    )
    # what kind of read it was
    is_proven = models.BooleanField(help_text="The end of the content is proven.")
    is_whole = models.BooleanField(help_text="Proven, of one content, from its start.")
    is_complete = models.BooleanField(help_text="Whole, and what it lacks has vanished from the source.")
    # verdict
    outcome = models.TextField(choices=choices_of(ReadOutcome))
    verdict = models.JSONField(default=list)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=ON_USER_DELETE,
        db_constraint=HAS_USERS,
        db_index=False,
        related_name="+",
    )
    accepted_at = models.DateTimeField(null=True, help_text="When an operator accepted it.")
    # counts
    seen = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    met = models.BigIntegerField(default=0, help_text="How many different stored records it found.")
    removed = models.BigIntegerField(default=0, help_text="How many records it lacked and removed.")
    # the source's sequence when it began and when it ended: all rows that it wrote are in between
    first_sequence = models.BigIntegerField(null=True)
    last_sequence = models.BigIntegerField(null=True)
    # lifecycle
    begun_at = models.DateTimeField()
    ended_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "etl_reads"
        verbose_name = "read"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("source", "number"), name="etl_reads_one_a_number"),
            known_words("outcome", ReadOutcome, "etl_reads"),
            models.CheckConstraint(condition=Q(is_proven=True) | Q(is_whole=False), name="etl_reads_whole_is_proven"),
            models.CheckConstraint(
                condition=Q(is_whole=True) | Q(is_complete=False), name="etl_reads_complete_is_whole"
            ),
        )

    def __str__(self) -> str:
        return f"read {self.number} of {self.source}"
