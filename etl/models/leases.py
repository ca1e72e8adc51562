"""Leases for tasks that only one process at a time may do for all sources."""

from django.db import models


class TaskLease(models.Model):
    """The process that holds a task such as the sweep, and when its lease ends, by the database's clock."""

    name = models.TextField(primary_key=True)
    owner = models.TextField()
    taken_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "etl_task_leases"

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"
