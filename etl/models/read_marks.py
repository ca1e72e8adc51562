"""Marks of the rows that a source's last read found."""

from django.db import models

from etl.models.columns import choices_of, known_words
from etl.vocabulary import MarkKind


class ReadMark(models.Model):
    """The rows that a source's last read found: a bitmap over the ids of one table, with one block per row.

    It marks unchanged and refused records; the sequence identifies the records that the read wrote. Marks are kept
    until the next read starts.
    """

    source = models.TextField()
    read_number = models.BigIntegerField()
    kind = models.TextField(choices=choices_of(MarkKind), default=MarkKind.RECORD)
    block = models.BigIntegerField()
    bits = models.BinaryField()

    class Meta:
        db_table = "etl_read_marks"
        constraints = (
            models.UniqueConstraint(
                fields=("source", "read_number", "kind", "block"), name="etl_read_marks_one_a_block"
            ),
            known_words("kind", MarkKind, "etl_read_marks"),
        )

    def __str__(self) -> str:
        return f"{self.source} read {self.read_number} block {self.block}"
