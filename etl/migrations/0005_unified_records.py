"""The unified table."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0004_raw_records'),
    ]

    operations = [
        migrations.CreateModel(
            name='UnifiedRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('external_id', models.TextField()),
                ('name', models.TextField()),
                ('category', models.TextField(null=True)),
                ('value', models.DecimalField(decimal_places=18, max_digits=38, null=True)),
                ('currency', models.TextField(null=True)),
                ('event_timestamp', models.DateTimeField()),
                ('ingested_at', models.DateTimeField()),
                ('updated_at', models.DateTimeField()),
                ('content_hash', models.BinaryField()),
                ('sequence', models.BigIntegerField()),
                ('raw', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.anyrawrecord')),
            ],
            options={
                'db_table': 'unified_records',
            },
        ),
        migrations.AddConstraint(
            model_name='unifiedrecord',
            constraint=models.UniqueConstraint(fields=('source', 'external_id'), name='unified_records_source_external_id'),
        ),
    ]
