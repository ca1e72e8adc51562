"""One sequence for the three raw tables, so that a raw id names one row."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0002_checkpoints'),
    ]

    operations = [
        migrations.RunSQL(
            sql='CREATE SEQUENCE raw_record_id',
            reverse_sql='DROP SEQUENCE raw_record_id',
        ),
    ]
