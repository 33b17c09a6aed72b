"""What is there now is kept as the first of each history; an index for runs by what asked for them.

The histories were made in the migration before: where wal_level is minimal, a sequence that is used
in the transaction that made it forgets after a crash what it gave since.
"""

from django.db import migrations, models


def keep_what_is_there(apps, schema_editor):
    # So that the first change from now on has something to be compared with. A definition is as
    # old as its `updated_at`; who made it so is not known.
    for name in ("Connection", "Pipeline"):
        kept = apps.get_model("pipelines", f"Historical{name}")
        own = {field.attname for field in kept._meta.fields}
        columns = [
            field.attname
            for field in apps.get_model("pipelines", name)._meta.fields
            if field.attname in own
        ]
        rows = apps.get_model("pipelines", name).objects.order_by("pk")
        kept.objects.bulk_create(
            (
                kept(
                    history_date=updated_at,
                    history_type="+",
                    history_change_reason="first",
                    **dict(zip(columns, values, strict=True)),
                )
                for updated_at, *values in rows.values_list("updated_at", *columns)
            ),
            batch_size=500,
        )


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0004_changes")]

    operations = [
        migrations.RunPython(keep_what_is_there, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="pipelinerun",
            index=models.Index(
                models.F("trigger"),
                models.OrderBy(models.F("started_at"), descending=True),
                name="run_trigger_newest",
            ),
        ),
    ]
