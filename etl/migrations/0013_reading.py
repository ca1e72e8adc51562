from django.db import migrations, models


class Migration(migrations.Migration):
    """The permission to operate the pipeline, and the index for the change feed."""

    dependencies = [("etl", "0012_fill_totals")]
    operations = [
        migrations.AlterModelOptions(
            name="run",
            options={
                "ordering": ("-created_at", "-id"),
                "permissions": (("operate", "Can start, cancel and replay runs, discard and acknowledge"),),
            },
        ),
        migrations.AddIndex(
            model_name="unifiedrecord",
            index=models.Index(fields=["source", "sequence", "id"], name="unified_records_changes"),
        ),
    ]
