"""Index the rows for which refused records wait, while the pipeline writes."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('etl', '0035_waiting_records'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='quarantinedrecord',
            index=models.Index(condition=models.Q(('status', 'open')), fields=['source', 'awaits'], name='etl_quarantine_waiting'),
        ),
    ]
