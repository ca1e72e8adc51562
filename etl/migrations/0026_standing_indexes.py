"""Index the runs that show a source's standing, while the pipeline writes."""

import etl.vocabulary
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('etl', '0025_alerts'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False), models.Q(('trigger', 'replay'), _negated=True), models.Q(('reason__in', (etl.vocabulary.Reason['CANCELLED'], etl.vocabulary.Reason['RELEASED'], etl.vocabulary.Reason['INTERRUPTED'])), _negated=True)), fields=['source', '-finished_at'], name='etl_runs_last_reflecting'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False), ('status__in', ('success', 'partial')), models.Q(('trigger', 'replay'), _negated=True)), fields=['source', '-finished_at'], name='etl_runs_last_success'),
        ),
    ]
