"""An index for the list of runs filtered by what asked for them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0004_changes")]

    operations = [
        migrations.AddIndex(
            model_name="pipelinerun",
            index=models.Index(
                models.F("trigger"),
                models.OrderBy(models.F("started_at"), descending=True),
                name="run_trigger_newest",
            ),
        ),
    ]
