"""Shapes of sources and their changes."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from etl.models.columns import HAS_USERS, ON_USER_DELETE


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '__first__'),
        ('etl', '0006_quarantine'),
    ]

    operations = [
        migrations.CreateModel(
            name='SchemaSnapshot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('number', models.PositiveIntegerField()),
                ('shape', models.JSONField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='etl.run')),
            ],
            options={
                'db_table': 'schema_snapshots',
                'ordering': ('source', 'number'),
            },
        ),
        migrations.AddConstraint(
            model_name='schemasnapshot',
            constraint=models.UniqueConstraint(fields=('source', 'number'), name='schema_snapshots_one_a_number'),
        ),
        migrations.CreateModel(
            name='SchemaChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('path', models.TextField()),
                ('kind', models.TextField(choices=[('added', 'added'), ('removed', 'removed'), ('type', 'type'), ('nullability', 'nullability')])),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
                ('acknowledged_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('acknowledged_by', models.ForeignKey(null=True, on_delete=ON_USER_DELETE, db_constraint=HAS_USERS, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='etl.run')),
                ('snapshot_after', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='changes', to='etl.schemasnapshot')),
                ('snapshot_before', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='etl.schemasnapshot')),
            ],
            options={
                'db_table': 'schema_changes',
                'ordering': ('id',),
            },
        ),
        migrations.AddConstraint(
            model_name='schemachange',
            constraint=models.UniqueConstraint(fields=('snapshot_after', 'path', 'kind'), name='schema_changes_one_a_path_and_kind'),
        ),
        migrations.AddConstraint(
            model_name='schemachange',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['added', 'removed', 'type', 'nullability'])), name='schema_changes_kind_known'),
        ),
    ]
