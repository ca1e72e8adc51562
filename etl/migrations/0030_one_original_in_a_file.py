"""Let each file have its own refused records, while the pipeline writes: the new index is built before it is used."""

from django.db import migrations, models

BUILD = """
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS etl_quarantine_one_in_a_file
ON etl_quarantine (source, file, original_sha256)
"""
USE = """
ALTER TABLE etl_quarantine DROP CONSTRAINT etl_quarantine_one_an_original,
ADD CONSTRAINT etl_quarantine_one_in_a_file UNIQUE USING INDEX etl_quarantine_one_in_a_file
"""
BUILD_FORMER = """
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS etl_quarantine_one_an_original
ON etl_quarantine (source, original_sha256)
"""
USE_FORMER = """
ALTER TABLE etl_quarantine DROP CONSTRAINT etl_quarantine_one_in_a_file,
ADD CONSTRAINT etl_quarantine_one_an_original UNIQUE USING INDEX etl_quarantine_one_an_original
"""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('etl', '0029_files'),
    ]

    operations = [
        migrations.RunSQL(BUILD, migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(USE, USE_FORMER)],
            state_operations=[
                migrations.RemoveConstraint(model_name='quarantinedrecord', name='etl_quarantine_one_an_original'),
                migrations.AddConstraint(
                    model_name='quarantinedrecord',
                    constraint=models.UniqueConstraint(
                        fields=('source', 'file', 'original_sha256'), name='etl_quarantine_one_in_a_file'
                    ),
                ),
            ],
        ),
        migrations.RunSQL(migrations.RunSQL.noop, BUILD_FORMER),  # going back, it is built first
    ]
