"""The processes that move rows; what they do is in the runner."""

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Worker(models.Model):
    """A `runpipelines` process; a new one at each start."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    label = models.CharField(_("label"), max_length=255, help_text=_("Host name, for people."))
    pid = models.PositiveIntegerField(_("process id"))
    started_at = models.DateTimeField(_("started"), db_default=Now())
    last_seen_at = models.DateTimeField(_("last seen"), db_default=Now())

    class Meta:
        ordering = ["-started_at"]
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return f"{self.label} ({self.pid})"
