"""The checkpoint of a pipeline as people read it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from pipelines.models.pipeline import Pipeline


class PipelineState(models.Model):
    """The checkpoint as people read it: a copy of the target's own `etl.checkpoint`."""

    pipeline = models.OneToOneField(
        Pipeline, on_delete=models.CASCADE, primary_key=True, related_name="state"
    )
    last_processed_value = models.TextField(_("last processed value"), null=True)
    last_processed_id = models.TextField(_("last processed id"), null=True)
    epoch = models.IntegerField(default=0)
    seq = models.BigIntegerField(_("batches"), default=0)
    rows = models.BigIntegerField(_("rows"), default=0)
    promise = models.TextField(_("late commits"), blank=True)
    updated_at = models.DateTimeField(_("updated"), null=True)

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")

    def __str__(self) -> str:
        return self.last_processed_value or "—"
