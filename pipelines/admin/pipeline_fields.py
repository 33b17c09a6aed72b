"""The fields of a pipeline's form, in tabs."""

from typing import Any

from django.utils.translation import gettext_lazy

FIELDSETS: Any = (
    (
        gettext_lazy("Query and table"),
        {
            "classes": ("tab",),
            "fields": (
                "name",
                "source_connection",
                "source_query",
                "target_connection",
                "target_table",
                "key_columns",
            ),
        },
    ),
    (
        gettext_lazy("Loading"),
        {
            "classes": ("tab",),
            "fields": (
                "type",
                "mode",
                "incremental_key",
                "null_policy",
                "late_margin",
                "batch_size",
            ),
        },
    ),
    (
        gettext_lazy("Full loads"),
        {
            "classes": ("tab",),
            "fields": ("publish", "allow_empty", "max_shrink_percent", "allow_cascade"),
        },
    ),
    (
        gettext_lazy("Deleted rows"),
        {
            "classes": ("tab",),
            "fields": ("delete_missing", "delete_column", "max_delete_percent"),
        },
    ),
    (gettext_lazy("About"), {"classes": ("tab",), "fields": ("description", "enabled")}),
)
