"""Keep up to which change each source is read, and what that watermark belongs to."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ('etl', '0030_one_original_in_a_file'),
    ]

    operations = [
        migrations.AddField(
            model_name='checkpoint',
            name='watermark',
            field=models.DateTimeField(
                help_text='The latest change that the finished reads of a source with `since` have met.', null=True
            ),
        ),
        migrations.AddField(
            model_name='checkpoint',
            name='watermark_of',
            field=models.TextField(
                blank=True,
                db_default='',
                default='',
                help_text='What the watermark belongs to; empty without `since`.',
            ),
        ),
        migrations.AlterField(
            model_name='run',
            name='options',
            field=models.JSONField(
                default=dict, help_text='full, since and until, selection; empty for a plain run.'
            ),
        ),
    ]
