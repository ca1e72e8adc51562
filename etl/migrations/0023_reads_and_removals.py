"""Reads with their verdicts, removed records, and the new states of refused records.

Constraints on large tables are not validated here, so that no lock lasts; the next migration validates them.
"""

from importlib import import_module

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import etl.vocabulary
from django.conf import settings
from django.db import migrations, models

from etl.models.columns import HAS_USERS, ON_USER_DELETE

# The last finished read of each source becomes its baseline, if one run read all of it.
FILL_READS = """
INSERT INTO etl_reads (source, number, run_id, content, fingerprint, is_proven, is_whole, is_complete, outcome, verdict,
    seen, quarantined, met, removed, begun_at, ended_at)
SELECT kept.source, read_number - is_reading::int, run.id, split_part(fingerprint, ':', 2), fingerprint, true, true,
    false, 'accepted', '[]', seen, quarantined, seen - duplicate - quarantined, 0, started_at, finished_at
FROM ingestion_checkpoints AS kept CROSS JOIN LATERAL (
    SELECT * FROM etl_runs WHERE source = kept.source AND finished_at IS NOT NULL AND seen > 0
    ORDER BY finished_at DESC LIMIT 1
) AS run
WHERE fingerprint <> '' AND run.status IN ('success', 'partial') AND run.trigger <> 'replay'
    AND run.cursor_before IS NULL
"""
POINT_AT_READS = """
UPDATE ingestion_checkpoints AS kept SET accepted_read = number, judged_read = number
FROM etl_reads WHERE etl_reads.source = kept.source
"""
POINT_AT_CONTENT = "UPDATE ingestion_checkpoints SET judged_fingerprint = fingerprint"

CHANGE_TABLES = """
ALTER TABLE etl_quarantine DROP CONSTRAINT etl_quarantine_status_known;
ALTER TABLE etl_read_marks DROP CONSTRAINT etl_read_marks_kind_known;
ALTER TABLE etl_runs DROP CONSTRAINT etl_runs_counters_add_up;
ALTER TABLE ingestion_checkpoints ADD COLUMN accepted_read bigint NULL;
ALTER TABLE ingestion_checkpoints ADD COLUMN judged_fingerprint text DEFAULT '' NOT NULL;
ALTER TABLE ingestion_checkpoints ADD COLUMN judged_read bigint NULL;
ALTER TABLE ingestion_checkpoints ADD COLUMN read_begun_at timestamp with time zone NULL;
ALTER TABLE ingestion_checkpoints ADD COLUMN read_seen bigint DEFAULT 0 NOT NULL;
ALTER TABLE ingestion_checkpoints ADD COLUMN removed_count bigint DEFAULT 0 NOT NULL;
ALTER TABLE etl_quarantine ADD COLUMN external_id text NULL;
ALTER TABLE etl_runs ADD COLUMN is_unchanged boolean DEFAULT false NOT NULL;
ALTER TABLE etl_runs ADD COLUMN removed bigint DEFAULT 0 NOT NULL;
ALTER TABLE etl_runs ADD COLUMN skipped bigint DEFAULT 0 NOT NULL;
ALTER TABLE etl_runs ADD COLUMN verdict jsonb DEFAULT '[]'::jsonb NOT NULL;
ALTER TABLE unified_records ADD COLUMN removed_at timestamp with time zone NULL;
ALTER TABLE ingestion_checkpoints ADD CONSTRAINT ingestion_checkpoints_removed_count_not_negative CHECK (removed_count >= 0);
ALTER TABLE etl_quarantine ADD CONSTRAINT etl_quarantine_status_known CHECK (status IN ('open', 'replayed', 'discarded', 'landed', 'gone')) NOT VALID;
ALTER TABLE etl_read_marks ADD CONSTRAINT etl_read_marks_kind_known CHECK (kind IN ('record', 'refusal', 'late', 'present'));
ALTER TABLE etl_runs ADD CONSTRAINT etl_runs_counters_add_up CHECK ((duplicate >= 0 AND new >= 0 AND quarantined >= 0 AND removed >= 0 AND seen = (((((new + updated) + unchanged) + duplicate) + skipped) + quarantined) AND skipped >= 0 AND unchanged >= 0 AND updated >= 0)) NOT VALID;
"""
CHANGE_TABLES_BACK = """
ALTER TABLE etl_quarantine DROP CONSTRAINT etl_quarantine_status_known;
ALTER TABLE etl_read_marks DROP CONSTRAINT etl_read_marks_kind_known;
ALTER TABLE etl_runs DROP CONSTRAINT etl_runs_counters_add_up;
ALTER TABLE ingestion_checkpoints DROP COLUMN accepted_read;
ALTER TABLE ingestion_checkpoints DROP COLUMN judged_fingerprint;
ALTER TABLE ingestion_checkpoints DROP COLUMN judged_read;
ALTER TABLE ingestion_checkpoints DROP COLUMN read_begun_at;
ALTER TABLE ingestion_checkpoints DROP COLUMN read_seen;
ALTER TABLE ingestion_checkpoints DROP COLUMN removed_count;
ALTER TABLE etl_quarantine DROP COLUMN external_id;
ALTER TABLE etl_runs DROP COLUMN is_unchanged;
ALTER TABLE etl_runs DROP COLUMN removed;
ALTER TABLE etl_runs DROP COLUMN skipped;
ALTER TABLE etl_runs DROP COLUMN verdict;
ALTER TABLE unified_records DROP COLUMN removed_at;
ALTER TABLE etl_quarantine ADD CONSTRAINT etl_quarantine_status_known CHECK (status IN ('open', 'replayed', 'discarded'));
ALTER TABLE etl_read_marks ADD CONSTRAINT etl_read_marks_kind_known CHECK (kind IN ('record', 'refusal'));
ALTER TABLE etl_runs ADD CONSTRAINT etl_runs_counters_add_up CHECK (duplicate >= 0 AND new >= 0 AND quarantined >= 0 AND seen = new + updated + unchanged + duplicate + quarantined AND unchanged >= 0 AND updated >= 0);
"""

totals = import_module("etl.migrations.0011_total_triggers")
FORMER_COLUMNS = totals.RUN_COLUMNS
COLUMNS = f"{FORMER_COLUMNS}, rows.skipped, rows.removed"
FORMER_COUNT_RUN = totals.COUNT_RUN
COUNT_RUN = FORMER_COUNT_RUN.replace("run_quarantined bigint", "run_quarantined bigint, run_skipped bigint, run_removed bigint").replace(
    "('quarantined', run_quarantined)",
    "('quarantined', run_quarantined), ('skipped', run_skipped), ('removed', run_removed)",
)
FORMER_TYPES = "text, text, timestamptz, timestamptz, bigint, bigint, bigint, bigint, bigint"


def replace_functions(columns):
    """Let the functions that count runs pass these columns to `etl_count_run`."""
    triggers = [make for make in totals.TRIGGERS if make[0] == "etl_runs"]
    functions = [totals.make_trigger(*make).partition("CREATE TRIGGER")[0] for make in triggers]
    text = "".join([*functions, totals.COUNT_TOTALS])
    return text.replace(FORMER_COLUMNS, columns).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):

    dependencies = [
        ('etl', '0022_versions_counted'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='JudgedRead',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField()),
                ('number', models.BigIntegerField()),
                ('content', models.TextField()),
                ('fingerprint', models.TextField()),
                ('is_proven', models.BooleanField(help_text='The end of the content is proven.')),
                ('is_whole', models.BooleanField(help_text='Proven, of one content, from its start.')),
                ('is_complete', models.BooleanField(help_text='Whole, and what it lacks has vanished from the source.')),
                ('outcome', models.TextField(choices=[('accepted', 'accepted'), ('held', 'held'), ('failed', 'failed')])),
                ('verdict', models.JSONField(default=list)),
                ('accepted_at', models.DateTimeField(help_text='When an operator accepted it.', null=True)),
                ('seen', models.BigIntegerField(default=0)),
                ('quarantined', models.BigIntegerField(default=0)),
                ('met', models.BigIntegerField(default=0, help_text='How many different stored records it found.')),
                ('removed', models.BigIntegerField(default=0, help_text='How many records it lacked and removed.')),
                ('begun_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'verbose_name': 'read',
                'db_table': 'etl_reads',
                'ordering': ('-id',),
            },
        ),
        migrations.AddField(
            model_name='judgedread',
            name='accepted_by',
            field=models.ForeignKey(db_index=False, null=True, on_delete=ON_USER_DELETE, db_constraint=HAS_USERS, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='judgedread',
            name='run',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='etl.run'),
        ),
        migrations.AddConstraint(
            model_name='judgedread',
            constraint=models.UniqueConstraint(fields=('source', 'number'), name='etl_reads_one_a_number'),
        ),
        migrations.AddConstraint(
            model_name='judgedread',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['accepted', 'held', 'failed'])), name='etl_reads_outcome_known'),
        ),
        migrations.AddConstraint(
            model_name='judgedread',
            constraint=models.CheckConstraint(condition=models.Q(('is_proven', True), ('is_whole', False), _connector='OR'), name='etl_reads_whole_is_proven'),
        ),
        migrations.AddConstraint(
            model_name='judgedread',
            constraint=models.CheckConstraint(condition=models.Q(('is_whole', True), ('is_complete', False), _connector='OR'), name='etl_reads_complete_is_whole'),
        ),
        # The tables are locked until the end of the transaction. Django takes longer to prepare these operations than
        # PostgreSQL to perform them.
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(sql=CHANGE_TABLES, reverse_sql=CHANGE_TABLES_BACK)],
            state_operations=[
                migrations.RemoveConstraint(
                    model_name='quarantinedrecord',
                    name='etl_quarantine_status_known',
                ),
                migrations.RemoveConstraint(
                    model_name='readmark',
                    name='etl_read_marks_kind_known',
                ),
                migrations.RemoveConstraint(
                    model_name='run',
                    name='etl_runs_counters_add_up',
                ),
                migrations.AddField(
                    model_name='checkpoint',
                    name='accepted_read',
                    field=models.BigIntegerField(help_text='The last read accepted as whole; the next reads are compared with it.', null=True),
                ),
                migrations.AddField(
                    model_name='checkpoint',
                    name='judged_fingerprint',
                    field=models.TextField(blank=True, db_default='', default=''),
                ),
                migrations.AddField(
                    model_name='checkpoint',
                    name='judged_read',
                    field=models.BigIntegerField(help_text='The last read that has a verdict.', null=True),
                ),
                migrations.AddField(
                    model_name='checkpoint',
                    name='read_begun_at',
                    field=models.DateTimeField(null=True),
                ),
                migrations.AddField(
                    model_name='checkpoint',
                    name='read_seen',
                    field=models.BigIntegerField(db_default=0, default=0),
                ),
                migrations.AddField(
                    model_name='checkpoint',
                    name='removed_count',
                    field=models.BigIntegerField(db_default=0, default=0, help_text='Stored records with `removed_at`.'),
                ),
                migrations.AddField(
                    model_name='quarantinedrecord',
                    name='external_id',
                    field=models.TextField(help_text="The record's id, if that part of it could be parsed.", null=True),
                ),
                migrations.AddField(
                    model_name='run',
                    name='is_unchanged',
                    field=models.BooleanField(db_default=False, default=False, help_text='The content was that of the last read; its verdict was repeated.'),
                ),
                migrations.AddField(
                    model_name='run',
                    name='removed',
                    field=models.BigIntegerField(db_default=0, default=0, help_text='Records that a complete read lacked; not part of seen.'),
                ),
                migrations.AddField(
                    model_name='run',
                    name='skipped',
                    field=models.BigIntegerField(db_default=0, default=0, help_text='Records that the source does not want.'),
                ),
                migrations.AddField(
                    model_name='unifiedrecord',
                    name='removed_at',
                    field=models.DateTimeField(help_text='When a complete read lacked it.', null=True),
                ),
                migrations.AddField(
                    model_name='run',
                    name='verdict',
                    field=models.JSONField(db_default=[], default=list, help_text='The gates that the read has missed; see JudgedRead.'),
                ),
                migrations.AlterField(
                    model_name='checkpoint',
                    name='record_count',
                    field=models.BigIntegerField(default=0, help_text='Present records, without removed ones.'),
                ),
                migrations.AlterField(
                    model_name='quarantinedrecord',
                    name='status',
                    field=models.TextField(choices=[('open', 'open'), ('replayed', 'replayed'), ('discarded', 'discarded'), ('landed', 'landed'), ('gone', 'gone')], default=etl.vocabulary.QuarantineStatus['OPEN']),
                ),
                migrations.AlterField(
                    model_name='readmark',
                    name='kind',
                    field=models.TextField(choices=[('record', 'record'), ('refusal', 'refusal'), ('late', 'late'), ('present', 'present')], default=etl.vocabulary.MarkKind['RECORD']),
                ),
                migrations.AddConstraint(
                    model_name='checkpoint',
                    constraint=models.CheckConstraint(condition=models.Q(('removed_count__gte', 0)), name='ingestion_checkpoints_removed_count_not_negative'),
                ),
                migrations.AddConstraint(
                    model_name='quarantinedrecord',
                    constraint=models.CheckConstraint(condition=models.Q(('status__in', ['open', 'replayed', 'discarded', 'landed', 'gone'])), name='etl_quarantine_status_known'),
                ),
                migrations.AddConstraint(
                    model_name='readmark',
                    constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['record', 'refusal', 'late', 'present'])), name='etl_read_marks_kind_known'),
                ),
                migrations.AddConstraint(
                    model_name='run',
                    constraint=models.CheckConstraint(condition=models.Q(('duplicate__gte', 0), ('new__gte', 0), ('quarantined__gte', 0), ('removed__gte', 0), ('seen', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('new'), '+', models.F('updated')), '+', models.F('unchanged')), '+', models.F('duplicate')), '+', models.F('skipped')), '+', models.F('quarantined'))), ('skipped__gte', 0), ('unchanged__gte', 0), ('updated__gte', 0)), name='etl_runs_counters_add_up'),
                ),
            ],
        ),
        migrations.RunSQL(sql=COUNT_RUN, reverse_sql=f'DROP FUNCTION etl_count_run({FORMER_TYPES}, bigint, bigint)'),
        migrations.RunSQL(sql=replace_functions(COLUMNS), reverse_sql=replace_functions(FORMER_COLUMNS)),
        migrations.RunSQL(sql=f'DROP FUNCTION etl_count_run({FORMER_TYPES})', reverse_sql=FORMER_COUNT_RUN),
        migrations.RunSQL(sql=FILL_READS, reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(sql=POINT_AT_READS, reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(sql=POINT_AT_CONTENT, reverse_sql=migrations.RunSQL.noop),
    ]
