"""Counts of pruned records, so that `verify` can still prove that every record landed once."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0013_reading'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='pruned_raw',
            field=models.BigIntegerField(db_default=0, default=0, help_text='Of the raw records that it landed, those that are pruned.'),
        ),
        migrations.AddField(
            model_name='checkpoint',
            name='pruned_new',
            field=models.BigIntegerField(db_default=0, default=0, help_text='Of the records counted as new, those whose run is pruned.'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('pruned_raw__gte', 0), ('pruned_raw__lte', models.F('new') + models.F('updated'))), name='etl_runs_pruned_raw_was_landed'),
        ),
        migrations.AddConstraint(
            model_name='checkpoint',
            constraint=models.CheckConstraint(condition=models.Q(('pruned_new__gte', 0)), name='ingestion_checkpoints_pruned_new_not_negative'),
        ),
    ]
