"""How many of a run's refused records only wait, so that a run that goes on in another task still knows it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0036_waiting_index'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='waiting',
            field=models.BigIntegerField(db_default=0, default=0, help_text='How many of the quarantined only wait for the rows to which they refer.'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('waiting__gte', 0), ('waiting__lte', models.F('quarantined'))), name='etl_runs_waiting_were_refused'),
        ),
    ]
