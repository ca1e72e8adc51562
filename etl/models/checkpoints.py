"""The state of each source's reading, and the source's owner."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from etl.models.runs import Run


class Checkpoint(models.Model):
    """One source: the state of its reading, its owner, and the counts updated with each batch.

    `batch_number` and `epoch` are the fence: a batch lands only if both still have the values that its run knows.
    The columns `read_*` and `cursor` belong to the read that is open while `is_reading`.
    """

    source = models.TextField(primary_key=True)
    # ownership
    epoch = models.BigIntegerField(default=0)
    owner = models.TextField(blank=True, default="")
    owner_run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, db_index=False, related_name="+")
    owner_pid = models.IntegerField(null=True)
    owner_backend_start = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    # the last finished reads: the stored records are of `fingerprint`, or of several contents if that is empty
    fingerprint = models.TextField(blank=True, default="")
    validators = models.JSONField(default=dict)
    accepted_read = models.BigIntegerField(
        null=True, help_text="The last read accepted as whole; the next reads are compared with it."
    )
    judged_read = models.BigIntegerField(null=True, help_text="The last read that has a verdict.")
    judged_fingerprint = models.TextField(blank=True, default="", db_default="")
    watermark = models.DateTimeField(
        null=True, help_text="The latest change that the finished reads of a source with `since` have met."
    )
    watermark_of = models.TextField(
        blank=True, default="", db_default="", help_text="What the watermark belongs to; empty without `since`."
    )
    # the open read
    cursor = models.JSONField(null=True)
    is_reading = models.BooleanField(default=False)
    is_full_read = models.BooleanField(default=False)
    read_number = models.BigIntegerField(default=0)
    read_fingerprint = models.TextField(blank=True, default="")
    read_sequence = models.BigIntegerField(default=0, help_text="The sequence when the read began.")
    read_begun_at = models.DateTimeField(null=True)
    read_seen = models.BigIntegerField(default=0, db_default=0)
    read_quarantined = models.BigIntegerField(default=0)
    read_waiting = models.BigIntegerField(
        default=0, db_default=0, help_text="How many of them only wait for the rows to which they refer."
    )
    read_met = models.BigIntegerField(
        default=0, db_default=0, help_text="How many stored records the last read has met; kept until the next begins."
    )
    read_shape = models.JSONField(null=True)
    # the fence's batch, and the change feed's sequence
    batch_number = models.BigIntegerField(default=0)
    sequence = models.BigIntegerField(default=0)
    # counts updated with each batch
    record_count = models.BigIntegerField(default=0, help_text="Present records, without removed ones.")
    removed_count = models.BigIntegerField(default=0, db_default=0, help_text="Stored records with `removed_at`.")
    raw_count = models.BigIntegerField(default=0)
    open_quarantine_count = models.BigIntegerField(default=0)
    pruned_new = models.BigIntegerField(
        default=0, db_default=0, help_text="How many records counted as new belong to pruned runs."
    )
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "ingestion_checkpoints"
        ordering = ("source",)
        constraints = (
            models.CheckConstraint(
                condition=Q(record_count__gte=0, raw_count__gte=0, open_quarantine_count__gte=0),
                name="ingestion_checkpoints_counts_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(removed_count__gte=0), name="ingestion_checkpoints_removed_count_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(pruned_new__gte=0), name="ingestion_checkpoints_pruned_new_not_negative"
            ),
        )

    def __str__(self) -> str:
        return self.source
