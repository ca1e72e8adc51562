"""Totals that triggers maintain."""

from django.db import models

from etl.models.columns import choices_of, known_words
from etl.vocabulary import TotalName


class Total(models.Model):
    """How often something has happened to a source in total. Only triggers write it (migration total_triggers).

    `value` never falls. `pruned` is the part of `value` whose rows have been deleted: the tables hold `value - pruned`,
    which `manage.py verify` checks. `latest` is when the last such run finished.
    """

    source = models.TextField()
    name = models.TextField(choices=choices_of(TotalName))
    label = models.TextField(
        blank=True, default="", help_text="A status, reason, outcome, or a bound of the histogram in seconds."
    )
    value = models.DecimalField(max_digits=38, decimal_places=6)
    pruned = models.DecimalField(max_digits=38, decimal_places=6, default=0)
    latest = models.DateTimeField(null=True)

    class Meta:
        db_table = "etl_totals"
        ordering = ("source", "name", "label")
        constraints = (
            models.UniqueConstraint(fields=("source", "name", "label"), name="etl_totals_one_a_label"),
            known_words("name", TotalName, "etl_totals"),
        )

    def __str__(self) -> str:
        return f"{self.source} {self.name} {self.label}: {self.value}"
