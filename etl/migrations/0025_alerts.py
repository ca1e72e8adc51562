"""Alerts and announced standings.

A source that was in trouble before the upgrade has been mailed then, so it counts as announced. Its schedule counts
from its oldest run; the sweeper corrects that for schedules that are switched off.
"""

import django.db.models.deletion
import etl.vocabulary
import uuid
from django.db import migrations, models

FILL_STANDINGS = """
INSERT INTO etl_standings (source, announced, milder_runs, scheduled_since)
SELECT source, CASE
        WHEN newest.status = 'failed' THEN 'failing' WHEN open_quarantine_count > 0 THEN 'refusing' ELSE 'fine'
    END, 0, oldest.finished_at
FROM ingestion_checkpoints AS kept
LEFT JOIN LATERAL (
    SELECT status FROM etl_runs WHERE source = kept.source AND finished_at IS NOT NULL AND trigger <> 'replay'
        AND reason NOT IN ('cancelled', 'released', 'interrupted') ORDER BY finished_at DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT finished_at FROM etl_runs WHERE source = kept.source AND finished_at IS NOT NULL
    ORDER BY finished_at LIMIT 1
) AS oldest ON true
"""


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0024_check_refused_and_counters'),
    ]

    operations = [
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField(default=uuid.uuid4, help_text='The same in each repeat.', unique=True)),
                ('source', models.TextField()),
                ('kind', models.TextField(choices=[('failing', 'failing'), ('recovered', 'recovered'), ('refusing', 'refusing'), ('late', 'late'), ('held', 'held'), ('drift', 'drift')])),
                ('standing', models.TextField(choices=[('fine', 'fine'), ('refusing', 'refusing'), ('held', 'held'), ('failing', 'failing'), ('late', 'late'), ('paused', 'paused'), ('never run', 'never run')])),
                ('subject', models.TextField()),
                ('text', models.TextField()),
                ('details', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(db_default=models.Func(function='clock_timestamp'))),
                ('state', models.TextField(choices=[('waiting', 'waiting'), ('sent', 'sent'), ('given_up', 'given up'), ('no_receiver', 'no receiver')])),
                ('sent_to', models.JSONField(default=list)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_at', models.DateTimeField(db_default=models.Func(function='clock_timestamp'))),
                ('error', models.TextField(blank=True, default='', help_text='Why the last attempt failed.')),
            ],
            options={
                'db_table': 'etl_alerts',
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='AnnouncedStanding',
            fields=[
                ('source', models.TextField(primary_key=True, serialize=False)),
                ('scheduled_since', models.DateTimeField(help_text='When its schedule was first seen, or last switched on. Null while it is off.', null=True)),
                ('announced', models.TextField(choices=[('fine', 'fine'), ('refusing', 'refusing'), ('held', 'held'), ('failing', 'failing'), ('late', 'late'), ('paused', 'paused'), ('never run', 'never run')], default=etl.vocabulary.StandingWord['FINE'])),
                ('milder_since', models.DateTimeField(null=True)),
                ('milder_runs', models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                'db_table': 'etl_standings',
                'ordering': ('source',),
            },
        ),
        migrations.AddField(
            model_name='alert',
            name='run',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.run'),
        ),
        migrations.AddConstraint(
            model_name='announcedstanding',
            constraint=models.CheckConstraint(condition=models.Q(('announced__in', ['fine', 'refusing', 'held', 'failing', 'late', 'paused', 'never run'])), name='etl_standings_announced_known'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['next_at'], name='etl_alerts_waiting'),
        ),
        migrations.AddIndex(
            model_name='alert',
            index=models.Index(condition=models.Q(('state', 'given_up')), fields=['id'], name='etl_alerts_given_up'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['failing', 'recovered', 'refusing', 'late', 'held', 'drift'])), name='etl_alerts_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('standing__in', ['fine', 'refusing', 'held', 'failing', 'late', 'paused', 'never run'])), name='etl_alerts_standing_known'),
        ),
        migrations.AddConstraint(
            model_name='alert',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'sent', 'given_up', 'no_receiver'])), name='etl_alerts_state_known'),
        ),
        migrations.RunSQL(FILL_STANDINGS, migrations.RunSQL.noop),
    ]
