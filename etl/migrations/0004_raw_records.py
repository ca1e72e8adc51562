"""The raw tables and the view that combines them."""

import django.db.models.deletion
import etl.models
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0003_raw_record_ids'),
    ]

    operations = [
        migrations.CreateModel(
            name='RawApiRecord',
            fields=[
                ('id', models.BigIntegerField(db_default=models.Func(models.Value('raw_record_id'), function='nextval'), primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('external_id', models.TextField()),
                ('position', models.BigIntegerField()),
                ('sequence', models.BigIntegerField()),
                ('payload', etl.models.JsonTextField()),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.run')),
            ],
            options={
                'db_table': 'raw_api_data',
                'indexes': [models.Index(fields=['source', 'external_id'], name='raw_api_data_record')],
            },
        ),
        migrations.CreateModel(
            name='RawCsvRecord',
            fields=[
                ('id', models.BigIntegerField(db_default=models.Func(models.Value('raw_record_id'), function='nextval'), primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('external_id', models.TextField()),
                ('position', models.BigIntegerField()),
                ('sequence', models.BigIntegerField()),
                ('payload', etl.models.JsonTextField()),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.run')),
            ],
            options={
                'db_table': 'raw_csv_data',
                'indexes': [models.Index(fields=['source', 'external_id'], name='raw_csv_data_record')],
            },
        ),
        migrations.CreateModel(
            name='RawThirdSourceRecord',
            fields=[
                ('id', models.BigIntegerField(db_default=models.Func(models.Value('raw_record_id'), function='nextval'), primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('external_id', models.TextField()),
                ('position', models.BigIntegerField()),
                ('sequence', models.BigIntegerField()),
                ('payload', etl.models.JsonTextField()),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.run')),
            ],
            options={
                'db_table': 'raw_third_source_data',
                'indexes': [models.Index(fields=['source', 'external_id'], name='raw_third_source_data_record')],
            },
        ),
        migrations.RunSQL(
            sql="""
            CREATE VIEW raw_records AS
            SELECT id, run_id, source, external_id, position, sequence, payload FROM raw_api_data
            UNION ALL
            SELECT id, run_id, source, external_id, position, sequence, payload FROM raw_csv_data
            UNION ALL
            SELECT id, run_id, source, external_id, position, sequence, payload FROM raw_third_source_data
            """,
            reverse_sql='DROP VIEW raw_records',
        ),
        migrations.CreateModel(
            name='AnyRawRecord',
            fields=[
                ('id', models.BigIntegerField(db_default=models.Func(models.Value('raw_record_id'), function='nextval'), primary_key=True, serialize=False)),
                ('source', models.TextField()),
                ('external_id', models.TextField()),
                ('position', models.BigIntegerField()),
                ('sequence', models.BigIntegerField()),
                ('payload', etl.models.JsonTextField()),
            ],
            options={
                'db_table': 'raw_records',
                'managed': False,
            },
        ),
    ]
