"""Let a change of a source's shape be another spelling of a field's name."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0031_watermarks'),
    ]

    operations = [
        migrations.RemoveConstraint(model_name='schemachange', name='schema_changes_kind_known'),
        migrations.AlterField(
            model_name='schemachange',
            name='kind',
            field=models.TextField(choices=[('added', 'added'), ('removed', 'removed'), ('type', 'type'), ('nullability', 'nullability'), ('spelling', 'spelling')]),
        ),
        migrations.AddConstraint(
            model_name='schemachange',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['added', 'removed', 'type', 'nullability', 'spelling'])), name='schema_changes_kind_known'),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, "DELETE FROM schema_changes WHERE kind = 'spelling'"),
    ]
