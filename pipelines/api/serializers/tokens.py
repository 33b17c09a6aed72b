"""Tokens as JSON; the token itself is shown once."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from pipelines.accounts import DEFAULT_DAYS, MOST_DAYS, MOST_NAME
from pipelines.api.fields import Limited, Moment, Text
from pipelines.api.serializers.strict import StrictSerializer


class TokenRequestSerializer(StrictSerializer):
    """What is asked of a new token."""

    name = Text(default="", allow_blank=True, max_length=MOST_NAME, help_text=_("What it is for."))
    expires_in_days = Limited(
        default=DEFAULT_DAYS,
        min_value=1,
        max_value=MOST_DAYS,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"),
            _("Give a whole number of days, from 1 to 366."),
        ),
        help_text=_("After how many days the token is no longer accepted."),
    )


class TokenSerializer(serializers.Serializer[Any]):
    """A token that was made before, without itself."""

    id = serializers.CharField(source="token_key", help_text=_("The beginning of the token."))
    name = serializers.SerializerMethodField(help_text=_("What it is for."))
    created_at = Moment(source="created")
    expires_at = Moment(source="expiry", allow_null=True)

    def get_name(self, token: Any) -> str:
        """Empty for one that was never given any."""
        return str(getattr(token, "label", ""))


class NewTokenSerializer(TokenSerializer):
    """A token that has just been made."""

    token = serializers.CharField(
        help_text=_("Shown this once. Send it as: Authorization: Token …")
    )
