"""A schedule entry that prunes every night; disabled until an operator enables it."""

from django.db import migrations

TASK = "etl.tasks.prune"
NAMES = ("prune", "etl prune", TASK)
"""The first that is free is taken: a project may have an entry of its own by such a name, which is left alone."""

RHYTHM = {"minute": "30", "hour": "3", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": "UTC"}


def make_entry(apps, schema_editor):
    CrontabSchedule = apps.get_model("django_celery_beat", "CrontabSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    entries = PeriodicTask.objects
    if entries.filter(task=TASK).exists():
        return
    # get_or_create could fail: the table has no unique constraint, so it may contain the same schedule twice.
    crontab = CrontabSchedule.objects.filter(**RHYTHM).first() or CrontabSchedule.objects.create(**RHYTHM)
    description = "Removes what is older than the ETL_PRUNE_* settings say: see `manage.py prune --dry-run` first."
    name = next(name for name in NAMES if not entries.filter(name=name).exists())
    entries.create(name=name, task=TASK, crontab=crontab, enabled=False, description=description)


def drop_entry(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=TASK).delete()  # by any name


class Migration(migrations.Migration):

    dependencies = [
        ("etl", "0014_pruned"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(make_entry, drop_entry)]
