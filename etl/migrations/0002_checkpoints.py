"""Checkpoints with fence, lease and counts, and the marks of open reads."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0001_runs'),
    ]

    operations = [
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('source', models.TextField(primary_key=True, serialize=False)),
                ('epoch', models.BigIntegerField(default=0)),
                ('owner', models.TextField(blank=True, default='')),
                ('owner_pid', models.IntegerField(null=True)),
                ('owner_backend_start', models.DateTimeField(null=True)),
                ('lease_expires_at', models.DateTimeField(null=True)),
                ('fingerprint', models.TextField(blank=True, default='')),
                ('validators', models.JSONField(default=dict)),
                ('cursor', models.JSONField(null=True)),
                ('is_reading', models.BooleanField(default=False)),
                ('is_full_read', models.BooleanField(default=False)),
                ('read_number', models.BigIntegerField(default=0)),
                ('read_fingerprint', models.TextField(blank=True, default='')),
                ('read_sequence', models.BigIntegerField(default=0, help_text='The sequence when the read began.')),
                ('read_quarantined', models.BigIntegerField(default=0)),
                ('read_shape', models.JSONField(null=True)),
                ('batch_number', models.BigIntegerField(default=0)),
                ('sequence', models.BigIntegerField(default=0)),
                ('record_count', models.BigIntegerField(default=0)),
                ('raw_count', models.BigIntegerField(default=0)),
                ('open_quarantine_count', models.BigIntegerField(default=0)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('owner_run', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='etl.run')),
            ],
            options={
                'db_table': 'ingestion_checkpoints',
                'ordering': ('source',),
                'constraints': [models.CheckConstraint(condition=models.Q(('open_quarantine_count__gte', 0), ('raw_count__gte', 0), ('record_count__gte', 0)), name='ingestion_checkpoints_counts_not_negative')],
            },
        ),
        migrations.CreateModel(
            name='ReadMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('read_number', models.BigIntegerField()),
                ('block', models.BigIntegerField()),
                ('bits', models.BinaryField()),
            ],
            options={
                'db_table': 'etl_read_marks',
                'constraints': [models.UniqueConstraint(fields=('source', 'read_number', 'block'), name='etl_read_marks_one_a_block')],
            },
        ),
    ]
