"""API tokens and passwords of users: made, revoked, and what follows when one changes.

A token is only as good as the password and the account under which it was made: it ends when the
password changes or the account is deactivated, as sessions do.
"""

from datetime import timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from knox.models import AuthToken

from pipelines import audit, limits
from pipelines.choices import AuditAction
from pipelines.models import TokenName

MOST_TOKENS = 50
DEFAULT_DAYS = 90
MOST_DAYS = 366
MOST_NAME = 100


class SignedOut(Exception):
    """The account or its password changed while a token was being made; `sentence` says so."""

    def __init__(self) -> None:
        self.sentence = _("Your password or account has just been changed. Sign in again.")
        super().__init__(self.sentence)


class TooManyTokens(Exception):
    """A user has as many tokens as there may be; `sentence` is for people."""

    def __init__(self) -> None:
        self.sentence = _(
            "There are %(count)d API tokens of yours already. Revoke one that is not used any more."
        ) % {"count": MOST_TOKENS}
        super().__init__(self.sentence)


def live_tokens() -> "QuerySet[Any]":
    """Tokens that are still accepted."""
    rows: QuerySet[Any] = AuthToken.objects.filter(Q(expiry=None) | Q(expiry__gt=Now()))
    return rows


@sensitive_variables("secret")
def make_token(user: Any, *, name: str, days: int) -> tuple[Any, str]:
    """The token's row, and the token itself, of which a digest is kept.

    Raises TooManyTokens, SignedOut and LimitReached.
    """
    limits.spend(user, "make token")
    with transaction.atomic():
        # Two requests at once are counted one after the other, and none outlives a new password.
        stored = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not stored.is_active or stored.password != user.password:
            raise SignedOut
        if live_tokens().filter(user=user).count() >= MOST_TOKENS:
            raise TooManyTokens
        row, secret = AuthToken.objects.create(user, expiry=timedelta(days=days))
        TokenName.objects.create(token=row, name=name)
        audit.record(AuditAction.TOKEN_MADE, row, by=user, name_of_token=name, days=days)
    return row, secret


def revoke_token(token: Any, *, by: Any) -> None:
    """From now on it is not accepted."""
    with transaction.atomic():
        thing = audit.thing_of(token)
        token.delete()
        audit.record(AuditAction.TOKEN_REVOKED, thing, by=by)


def revoke_all_tokens(user: Any, *, by: Any) -> None:
    """None of the user's is accepted from now on."""
    for token in AuthToken.objects.filter(user=user).select_related("user"):
        revoke_token(token, by=by)


def deactivated(user: Any, *, by: Any) -> None:
    """Sessions and tokens are gone, and do not come back with the account."""
    revoke_all_tokens(user, by=by)
    for session in Session.objects.filter(expire_date__gt=Now()).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


def password_changed(user: Any, *, by: Any) -> None:
    """Keep that it did, and end the tokens; to be called in the transaction that stores it."""
    audit.record(AuditAction.PASSWORD, user, by=by)
    revoke_all_tokens(user, by=by)
