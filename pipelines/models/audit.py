"""The record of who did what, when, and from where; nothing here is ever changed."""

from django.conf import settings
from django.db import models
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from pipelines.choices import AuditAction, Via


class AuditRecord(models.Model):
    """Something that a person did, or tried to do.

    Append-only: a trigger refuses UPDATE, TRUNCATE, and every DELETE but that of old rows by
    `retention`. Names are kept as text, so that a record says as much when its user or its object
    is gone; only the link to the user is then cut.
    """

    at = models.DateTimeField(_("at"), db_default=Now())
    action = models.CharField(_("action"), max_length=16, choices=AuditAction)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("user"),
    )
    # Of a failed sign-in the name that was tried.
    user_name = models.CharField(_("who"), max_length=150, blank=True)
    via = models.CharField(_("by way of"), max_length=16, choices=Via)
    token = models.CharField(_("API token"), max_length=25, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    object_type = models.CharField(_("kind of object"), max_length=32, blank=True)
    object_id = models.CharField(_("key of object"), max_length=64, blank=True)
    object_name = models.CharField(_("object"), max_length=200, blank=True)
    details = models.JSONField(_("details"), default=dict)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name = _("audit record")
        verbose_name_plural = _("audit records")
        default_permissions = ("view",)
        indexes = [
            # The admin's list, newest first; and pruning by age.
            models.Index(F("at").desc(), F("id").desc(), name="audit_newest"),
            # The list filtered by action.
            models.Index("action", F("at").desc(), name="audit_action_newest"),
            # The list of what was done to one object.
            models.Index("object_type", "object_id", F("at").desc(), name="audit_object_newest"),
            # The list filtered by person, and the cut when a user is deleted, come by the index of
            # the foreign key.
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.object_name}".rstrip()
