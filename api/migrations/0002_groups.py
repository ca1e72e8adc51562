"""Creates the groups of api/access/groups.py, and the permissions that Django would create after all migrations."""

from importlib import import_module

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.migrations.recorder import MigrationRecorder

from api.access.groups import make_groups

initial = import_module("api.migrations.0001_tokens")

OURS = ("0001_tokens", "0002_groups", "0003_find_token")


def take_label(apps, schema_editor):
    """Rename the content type and forget the migrations of the label `api`, which the app had until release 0.2.0.

    The permissions belong to the content type: their users and groups keep them.
    """
    if not initial.had_label_api(schema_editor.connection):
        return
    types = apps.get_model("contenttypes", "ContentType").objects.using(schema_editor.connection.alias)
    types.filter(app_label="api", model="token").update(app_label="kasparro_api")
    MigrationRecorder(schema_editor.connection).migration_qs.filter(app="api", name__in=OURS).delete()


def make(apps, schema_editor):
    for label in ("etl", "kasparro_api"):
        create_permissions(installed.get_app_config(label), verbosity=0, using=schema_editor.connection.alias)
    make_groups(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("kasparro_api", "0001_tokens"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("etl", "0013_reading"),
    ]
    operations = [
        migrations.RunPython(take_label, migrations.RunPython.noop),
        migrations.RunPython(make, migrations.RunPython.noop),
    ]
