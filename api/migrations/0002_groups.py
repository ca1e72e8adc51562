"""Creates the groups of api/access/groups.py, and the permissions that Django would create after all migrations."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

from api.access.groups import make_groups


def make(apps, schema_editor):
    for label in ("etl", "api"):
        create_permissions(installed.get_app_config(label), verbosity=0, using=schema_editor.connection.alias)
    make_groups(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0001_tokens"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("etl", "0013_reading"),
    ]
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
