"""Check what the migration before this one has filled in."""

import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0021_hash_content_alone'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('versions__gte', 0), ('versions__lte', django.db.models.expressions.CombinedExpression(models.F('new'), '+', models.F('updated')))), name='etl_runs_versions_were_counted'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('pruned_raw__gte', 0), ('pruned_raw__lte', models.F('versions'))), name='etl_runs_pruned_raw_was_landed'),
        ),
    ]
