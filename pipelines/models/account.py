"""What is kept of users beside Django's own row: names of API tokens, and what they used up."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class TokenName(models.Model):
    """What an API token is for, in its owner's words."""

    token = models.OneToOneField(
        "knox.AuthToken", primary_key=True, on_delete=models.CASCADE, related_name="label"
    )
    name = models.CharField(_("name"), max_length=100, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Usage(models.Model):
    """How often a user asked a verb since `since`; one row each, written by `limits` alone."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    verb = models.CharField(max_length=32)
    since = models.DateTimeField()
    count = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [
            # What `limits` counts by.
            models.UniqueConstraint(fields=["user", "verb"], name="usage_user_verb"),
        ]

    def __str__(self) -> str:
        return f"{self.verb}: {self.count}"
