"""The sweep's own schedule entry: every minute."""

from django.db import migrations

NAME = "sweep"
TASK = "etl.tasks.sweep"


def make_entry(apps, schema_editor):
    IntervalSchedule = apps.get_model("django_celery_beat", "IntervalSchedule")
    PeriodicTask = apps.get_model("django_celery_beat", "PeriodicTask")
    # get_or_create could fail: the table has no unique constraint, so it may contain the same interval twice.
    every = {"every": 1, "period": "minutes"}
    interval = IntervalSchedule.objects.filter(**every).first() or IntervalSchedule.objects.create(**every)
    # A project may have a task of its own of this name. Then the first sweep makes the entry by another name.
    PeriodicTask.objects.get_or_create(name=NAME, defaults={"task": TASK, "interval": interval})


def drop_entry(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=TASK).delete()  # by any name


class Migration(migrations.Migration):

    dependencies = [
        ("etl", "0007_schema_snapshots"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(make_entry, drop_entry)]
