"""What reports of errors leave out: Django's list of secrets, and addresses that hold a password.

Reports are the pages of DEBUG=1 and the mails to ADMINS; nothing else shows settings or variables.
"""

import re
from collections.abc import ItemsView
from typing import Any

from django.conf import settings
from django.views.debug import SafeExceptionReporterFilter


class Filter(SafeExceptionReporterFilter):
    """Django's own, and DATABASE_URL, WAREHOUSE_URL, what connections may refer to, passwords in
    dictionaries."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|_URL$", flags=re.IGNORECASE
    )

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """The value, or stars."""
        if isinstance(key, str) and key.startswith(settings.SECRET_ENV_PREFIX):
            return self.cleansed_substitute
        return super().cleanse_setting(key, value)

    def get_post_parameters(self, request: Any) -> dict[str, Any]:
        """What a form sent; its passwords are none of a report's business."""
        found = super().get_post_parameters(request)
        return {name: self.cleanse_setting(name, value) for name, value in found.items()}

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> ItemsView[str, Any]:
        """The variables of a frame, of a library's too; what dictionaries hold is looked at."""
        found = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in found}.items()
