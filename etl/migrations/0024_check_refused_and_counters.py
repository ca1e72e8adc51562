"""Validate the constraints of the migration before this one, and index refused ids and removed records, while the
pipeline writes.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('etl', '0023_reads_and_removals'),
    ]

    operations = [
        ValidateConstraint(model_name='quarantinedrecord', name='etl_quarantine_status_known'),
        ValidateConstraint(model_name='run', name='etl_runs_counters_add_up'),
        AddIndexConcurrently(
            model_name='quarantinedrecord',
            index=models.Index(condition=models.Q(('external_id__isnull', False)), fields=['source', 'external_id'], name='etl_quarantine_ids'),
        ),
        AddIndexConcurrently(
            model_name='quarantinedrecord',
            index=models.Index(condition=models.Q(('status', 'gone')), fields=['source', 'id'], name='etl_quarantine_gone'),
        ),
        AddIndexConcurrently(
            model_name='unifiedrecord',
            index=models.Index(condition=models.Q(('removed_at__isnull', False)), fields=['source', 'external_id'], name='unified_records_removed'),
        ),
    ]
