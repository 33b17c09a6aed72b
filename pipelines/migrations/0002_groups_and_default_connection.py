"""The four groups with their permissions, the built-in connection, and this installation's row."""

from django.apps import apps as real_apps
from django.contrib.auth.management import create_permissions
from django.contrib.contenttypes.management import create_contenttypes
from django.db import migrations

from pipelines.permissions import GROUPS, make_groups


def fill(apps, schema_editor):
    # Permissions appear only after all migrations; the groups need them now.
    for label in ("auth", "pipelines"):
        config = real_apps.get_app_config(label)
        create_contenttypes(config, verbosity=0, apps=apps)
        create_permissions(config, verbosity=0, apps=apps)
    make_groups(apps.get_model("auth", "Group"), apps.get_model("auth", "Permission"))
    apps.get_model("pipelines", "Connection").objects.get_or_create(name="default")
    apps.get_model("pipelines", "Installation").objects.get_or_create(id=1)


def empty(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("pipelines", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(fill, empty)]
