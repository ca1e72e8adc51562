from django.db import migrations, models


class Migration(migrations.Migration):
    """Only the change feed uses the change feed's index."""

    dependencies = [("etl", "0016_raw_runs")]
    operations = [
        migrations.RemoveIndex(model_name="unifiedrecord", name="unified_records_changes"),
        migrations.AddIndex(
            model_name="unifiedrecord",
            index=models.Index(
                condition=models.Q(("sequence__gt", 0)),
                fields=["source", "sequence", "id"],
                name="unified_records_changes",
            ),
        ),
    ]
