"""The files of sources whose `path` is a pattern."""

from django.db import models
from django.db.models.functions import Now

from etl.models.columns import choices_of, known_words
from etl.models.runs import Run
from etl.vocabulary import ReadOutcome


class SourceFile(models.Model):
    """One file that a pattern has found, as the last read of it has left it.

    `fingerprint` hashes contract, mapping and content, as a read's; it is empty if the file could not be read to its
    end. `stamp` has its size and times, as the file system or the storage gives them: while both stay, the file is not
    opened.
    """

    source = models.TextField()
    name = models.TextField(help_text="Its path from the last folder that the pattern names in full.")
    stamp = models.TextField(blank=True, default="")
    fingerprint = models.TextField(blank=True, default="")
    read_number = models.BigIntegerField(null=True, help_text="The last read of it that has ended.")
    outcome = models.TextField(choices=choices_of(ReadOutcome))
    message = models.TextField(blank=True, default="", help_text="Why the file failed.")
    run = models.ForeignKey(Run, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    ended_at = models.DateTimeField(db_default=Now())
    gone_at = models.DateTimeField(null=True, help_text="When a run no longer found it.")

    class Meta:
        db_table = "etl_files"
        verbose_name = "file"
        ordering = ("source", "name")
        constraints = (
            models.UniqueConstraint(fields=("source", "name"), name="etl_files_one_a_name"),
            known_words("outcome", ReadOutcome, "etl_files"),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.source}"
