"""Runs, the additional keys that they answer, and their events."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Run',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('key', models.TextField(unique=True)),
                ('trigger', models.TextField(choices=[('terminal', 'terminal'), ('command', 'command'), ('schedule', 'schedule'), ('api', 'api'), ('admin', 'admin'), ('replay', 'replay')])),
                ('at_terminal', models.BooleanField(default=False, help_text='A person at a terminal runs it; nobody succeeds it.')),
                ('status', models.TextField(choices=[('queued', 'queued'), ('running', 'running'), ('success', 'success'), ('partial', 'partial'), ('failed', 'failed')])),
                ('reason', models.TextField(blank=True, default='', help_text='One of records.Reason.')),
                ('epoch', models.BigIntegerField(null=True)),
                ('attempt', models.PositiveSmallIntegerField(default=1)),
                ('options', models.JSONField(default=dict, help_text='full, allow_removals, selection; empty for a plain run.')),
                ('not_before', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('started_at', models.DateTimeField(null=True)),
                ('heartbeat_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('cursor_before', models.JSONField(null=True)),
                ('cursor_after', models.JSONField(null=True)),
                ('seen', models.BigIntegerField(default=0)),
                ('new', models.BigIntegerField(default=0)),
                ('updated', models.BigIntegerField(default=0)),
                ('unchanged', models.BigIntegerField(default=0)),
                ('duplicate', models.BigIntegerField(default=0)),
                ('quarantined', models.BigIntegerField(default=0)),
                ('error', models.TextField(blank=True, default='')),
            ],
            options={
                'db_table': 'etl_runs',
                'ordering': ('-created_at', '-id'),
                'indexes': [models.Index(fields=['-created_at', '-id'], name='etl_runs_newest')],
                'constraints': [models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'running', 'success', 'partial', 'failed'])), name='etl_runs_status_known'), models.CheckConstraint(condition=models.Q(('trigger__in', ['terminal', 'command', 'schedule', 'api', 'admin', 'replay'])), name='etl_runs_trigger_known'), models.UniqueConstraint(condition=models.Q(('status', 'running')), fields=('source',), name='etl_runs_one_running'), models.UniqueConstraint(condition=models.Q(('options', {}), ('started_at', None), ('status', 'queued')), fields=('source',), name='etl_runs_one_queued_plain'), models.CheckConstraint(condition=models.Q(('duplicate__gte', 0), ('new__gte', 0), ('quarantined__gte', 0), ('seen', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('new'), '+', models.F('updated')), '+', models.F('unchanged')), '+', models.F('duplicate')), '+', models.F('quarantined'))), ('unchanged__gte', 0), ('updated__gte', 0)), name='etl_runs_counters_add_up'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('status__in', ('queued', 'running'))), models.Q(('finished_at__isnull', False), ('status__in', ('success', 'partial', 'failed'))), _connector='OR'), name='etl_runs_finished_when_closed'), models.CheckConstraint(condition=models.Q(models.Q(('status', 'running'), _negated=True), models.Q(('epoch__isnull', False), ('started_at__isnull', False)), _connector='OR'), name='etl_runs_running_is_claimed')],
            },
        ),
        migrations.CreateModel(
            name='RunKey',
            fields=[
                ('key', models.TextField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='further_keys', to='etl.run')),
            ],
            options={
                'db_table': 'etl_run_keys',
            },
        ),
        migrations.CreateModel(
            name='RunEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.TextField(help_text='One of records.EventKind.')),
                ('message', models.TextField()),
                ('created_at', models.DateTimeField(db_default=models.Func(function='clock_timestamp'))),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='events', to='etl.run')),
            ],
            options={
                'db_table': 'etl_run_events',
                'ordering': ('id',),
            },
        ),
    ]
