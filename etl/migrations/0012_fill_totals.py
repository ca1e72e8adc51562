"""Count the rows that existed before the totals."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0011_total_triggers'),
    ]

    operations = [
        migrations.RunSQL(sql='SELECT etl_mend_totals()', reverse_sql=migrations.RunSQL.noop),
    ]
