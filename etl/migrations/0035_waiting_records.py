"""For which row a refused record waits, and how many records of the open read wait."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0034_records_by_target'),
    ]

    operations = [
        migrations.AddField(
            model_name='quarantinedrecord',
            name='awaits',
            field=models.TextField(help_text='The missing row for which it waits, as JSON: model, column, value.', null=True),
        ),
        migrations.AddField(
            model_name='checkpoint',
            name='read_waiting',
            field=models.BigIntegerField(db_default=0, default=0, help_text='How many of them only wait for the rows to which they refer.'),
        ),
    ]
