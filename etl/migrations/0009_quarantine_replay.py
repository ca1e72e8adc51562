"""Columns for replays: the user that resolved a refused record, the raw record that it became, and its marks."""

import django.db.models.deletion
import etl.vocabulary
from django.conf import settings
from django.db import migrations, models

from etl.models.columns import HAS_USERS, ON_USER_DELETE


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0008_sweep_entry'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='readmark',
            name='etl_read_marks_one_a_block',
        ),
        migrations.AddField(
            model_name='quarantinedrecord',
            name='raw_id',
            field=models.BigIntegerField(help_text='The raw record as which it landed when it was replayed.', null=True),
        ),
        migrations.AddField(
            model_name='quarantinedrecord',
            name='read_number',
            field=models.BigIntegerField(help_text='The read that recorded it, or opened it again.', null=True),
        ),
        migrations.AddField(
            model_name='quarantinedrecord',
            name='resolved_by',
            field=models.ForeignKey(db_index=False, null=True, on_delete=ON_USER_DELETE, db_constraint=HAS_USERS, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='readmark',
            name='kind',
            field=models.TextField(choices=[('record', 'record'), ('refusal', 'refusal')], default=etl.vocabulary.MarkKind['RECORD']),
        ),
        migrations.AddIndex(
            model_name='quarantinedrecord',
            index=models.Index(condition=models.Q(('status', 'open')), fields=['source', 'id'], name='etl_quarantine_open'),
        ),
        migrations.AddIndex(
            model_name='quarantinedrecord',
            index=models.Index(condition=models.Q(('raw_id__isnull', False)), fields=['raw_id'], name='etl_quarantine_landed'),
        ),
        migrations.AddConstraint(
            model_name='readmark',
            constraint=models.UniqueConstraint(fields=('source', 'read_number', 'kind', 'block'), name='etl_read_marks_one_a_block'),
        ),
        migrations.AddConstraint(
            model_name='readmark',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['record', 'refusal'])), name='etl_read_marks_kind_known'),
        ),
    ]
