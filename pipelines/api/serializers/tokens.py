"""Tokens as JSON; the token itself is shown once."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from pipelines.api.fields import Limited, Moment
from pipelines.api.serializers.strict import StrictSerializer

DEFAULT_DAYS = 90
MOST_DAYS = 366


class TokenRequestSerializer(StrictSerializer):
    """What is asked of a new token."""

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
    created_at = Moment(source="created")
    expires_at = Moment(source="expiry", allow_null=True)


class NewTokenSerializer(TokenSerializer):
    """A token that has just been made."""

    token = serializers.CharField(
        help_text=_("Shown this once. Send it as: Authorization: Token …")
    )
