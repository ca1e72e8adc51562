"""Totals that outlive the rows they count, and the indexes that keep /stats and /health flat."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0009_quarantine_replay'),
    ]

    operations = [
        migrations.CreateModel(
            name='Total',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('name', models.TextField(choices=[('runs', 'runs'), ('failures', 'failures'), ('records', 'records'), ('duration', 'duration'), ('duration_sum', 'duration sum'), ('retries', 'retries'), ('schema_changes', 'schema changes')])),
                ('label', models.TextField(blank=True, default='', help_text='A status, reason, outcome, or a bound of the histogram in seconds.')),
                ('value', models.DecimalField(decimal_places=6, max_digits=38)),
                ('pruned', models.DecimalField(decimal_places=6, default=0, max_digits=38)),
                ('latest', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'etl_totals',
                'ordering': ('source', 'name', 'label'),
                'constraints': [models.UniqueConstraint(fields=('source', 'name', 'label'), name='etl_totals_one_a_label'), models.CheckConstraint(condition=models.Q(('name__in', ['runs', 'failures', 'records', 'duration', 'duration_sum', 'retries', 'schema_changes'])), name='etl_totals_name_known')],
            },
        ),
        # Leave room on each page for new row versions, so that updates touch no index.
        migrations.RunSQL(
            sql='ALTER TABLE etl_totals SET (fillfactor = 50)',
            reverse_sql='ALTER TABLE etl_totals RESET (fillfactor)',
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('status__in', ('queued', 'running'))), fields=['source'], name='etl_runs_open'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['source', '-finished_at'], name='etl_runs_last_closed'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False), ('seen__gt', 0)), fields=['source', '-finished_at'], name='etl_runs_last_that_read'),
        ),
    ]
