"""A schedule entry that prunes every night; disabled until an operator enables it."""

from django.db import migrations

NAME = "prune"
TASK = "etl.tasks.prune"
RHYTHM = {"minute": "30", "hour": "3", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": "UTC"}


def make_entry(apps, schema_editor):
    CrontabSchedule = apps.get_model("django_celery_beat", "CrontabSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    # get_or_create could fail: the table has no unique constraint, so it may contain the same schedule twice.
    crontab = CrontabSchedule.objects.filter(**RHYTHM).first() or CrontabSchedule.objects.create(**RHYTHM)
    description = "Removes what is older than the ETL_PRUNE_* settings say: see `manage.py prune --dry-run` first."
    PeriodicTask.objects.get_or_create(
        name=NAME, defaults={"task": TASK, "crontab": crontab, "enabled": False, "description": description}
    )


def drop_entry(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME, task=TASK).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("etl", "0014_pruned"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(make_entry, drop_entry)]
