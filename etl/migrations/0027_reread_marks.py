import etl.vocabulary
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0026_standing_indexes'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='readmark',
            name='etl_read_marks_kind_known',
        ),
        migrations.AlterField(
            model_name='readmark',
            name='kind',
            field=models.TextField(choices=[('record', 'record'), ('refusal', 'refusal'), ('late', 'late'), ('present', 'present'), ('reread', 'reread')], default=etl.vocabulary.MarkKind['RECORD']),
        ),
        migrations.AddConstraint(
            model_name='readmark',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['record', 'refusal', 'late', 'present', 'reread'])), name='etl_read_marks_kind_known'),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, "DELETE FROM etl_read_marks WHERE kind = 'reread'"),
    ]
