"""The observed shapes of each source, and their differences."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from etl.models.columns import HAS_USERS, ON_USER_DELETE, choices_of, known_words
from etl.models.runs import Run
from etl.vocabulary import ChangeKind


class SchemaSnapshot(models.Model):
    """One observed shape of a source: field paths with their types, nullability and presence."""

    source = models.TextField()
    number = models.PositiveIntegerField()
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")
    shape = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "schema_snapshots"
        ordering = ("source", "number")
        constraints = (models.UniqueConstraint(fields=("source", "number"), name="schema_snapshots_one_a_number"),)

    def __str__(self) -> str:
        return f"{self.source} snapshot {self.number}"


class SchemaChange(models.Model):
    """One difference between two snapshots of a source."""

    source = models.TextField()
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")
    snapshot_before = models.ForeignKey(SchemaSnapshot, on_delete=models.CASCADE, related_name="+")
    snapshot_after = models.ForeignKey(SchemaSnapshot, on_delete=models.CASCADE, related_name="changes")
    path = models.TextField()
    kind = models.TextField(choices=choices_of(ChangeKind))
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=ON_USER_DELETE,
        db_constraint=HAS_USERS,
        related_name="+",
    )
    acknowledged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "schema_changes"
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("snapshot_after", "path", "kind"), name="schema_changes_one_a_path_and_kind"
            ),
            known_words("kind", ChangeKind, "schema_changes"),
        )

    def __str__(self) -> str:
        return f"{self.source} {self.path}: {self.kind}"
