"""Files of sources with a pattern, and the file of a read and of a refused record."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0028_help_of_content_hash'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SourceFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('name', models.TextField(help_text='Its path from the last folder that the pattern names in full.')),
                ('stamp', models.TextField(blank=True, default='')),
                ('fingerprint', models.TextField(blank=True, default='')),
                ('read_number', models.BigIntegerField(help_text='The last read of it that has ended.', null=True)),
                ('outcome', models.TextField(choices=[('accepted', 'accepted'), ('held', 'held'), ('failed', 'failed')])),
                ('message', models.TextField(blank=True, default='', help_text='Why the file failed.')),
                ('ended_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('gone_at', models.DateTimeField(help_text='When a run no longer found it.', null=True)),
            ],
            options={
                'verbose_name': 'file',
                'db_table': 'etl_files',
                'ordering': ('source', 'name'),
            },
        ),
        migrations.AddField(
            model_name='judgedread',
            name='file',
            field=models.TextField(blank=True, db_default='', default='', help_text="The file's name, if the source's path is a pattern."),
        ),
        migrations.AddField(
            model_name='judgedread',
            name='first_sequence',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='judgedread',
            name='last_sequence',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='quarantinedrecord',
            name='file',
            field=models.TextField(blank=True, db_default='', default='', help_text="The file's name, if the source's path is a pattern."),
        ),
        migrations.AddField(
            model_name='sourcefile',
            name='run',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.run'),
        ),
        migrations.AddConstraint(
            model_name='sourcefile',
            constraint=models.UniqueConstraint(fields=('source', 'name'), name='etl_files_one_a_name'),
        ),
        migrations.AddConstraint(
            model_name='sourcefile',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['accepted', 'held', 'failed'])), name='etl_files_outcome_known'),
        ),
    ]
