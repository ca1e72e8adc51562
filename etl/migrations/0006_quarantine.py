"""Refused records."""

import django.db.models.deletion
import django.db.models.functions.datetime
import etl.models
import etl.vocabulary
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0005_unified_records'),
    ]

    operations = [
        migrations.CreateModel(
            name='QuarantinedRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('position', models.BigIntegerField()),
                ('line', models.BigIntegerField()),
                ('column_name', models.TextField(blank=True, default='')),
                ('code', models.TextField(help_text='One of records.BreachCode.')),
                ('message', models.TextField()),
                ('payload', etl.models.JsonTextField(null=True)),
                ('original', models.BinaryField()),
                ('original_length', models.BigIntegerField()),
                ('original_sha256', models.BinaryField()),
                ('status', models.TextField(choices=[('open', 'open'), ('replayed', 'replayed'), ('discarded', 'discarded')], default=etl.vocabulary.QuarantineStatus['OPEN'])),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('run', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.run')),
            ],
            options={
                'db_table': 'etl_quarantine',
                'ordering': ('id',),
                'constraints': [models.UniqueConstraint(fields=('source', 'original_sha256'), name='etl_quarantine_one_an_original'), models.CheckConstraint(condition=models.Q(('status__in', ['open', 'replayed', 'discarded'])), name='etl_quarantine_status_known')],
            },
        ),
    ]
