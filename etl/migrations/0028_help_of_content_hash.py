"""Say what the content hash of a unified record is made of. Changes no row."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0027_reread_marks'),
    ]

    operations = [
        migrations.AlterField(
            model_name='unifiedrecord',
            name='content_hash',
            field=models.BinaryField(help_text='16 bytes of the content alone, and 4 of its rule if it has one.'),
        ),
    ]
