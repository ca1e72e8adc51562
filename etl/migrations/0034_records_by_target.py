"""Index the ledger by the rows of teams' own models, while the pipeline writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('etl', '0033_ledger_of_targets'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='unifiedrecord',
            index=models.Index(condition=models.Q(('target_key__isnull', False)), fields=['target_key', 'target'], name='unified_records_target'),
        ),
    ]
