"""Signing in with a token or a password; what may be done then is in `permissions`."""

from typing import Any

from django.utils.translation import gettext as _
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from pipelines import audit, lockout, origins
from pipelines.api.refusals import TooManyAttempts
from pipelines.choices import Via

#: No user's name is longer.
_LONGEST_NAME = 150


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]  # knox has no types
    """`Authorization: Token …`; a right token is always taken, since none can be guessed, and wrong
    ones are counted, so that floods of them end at 429."""

    def authenticate(self, request: Request) -> Any:
        """The user and the token. Raises AuthenticationFailed and TooManyAttempts."""
        try:
            found = super().authenticate(request)
        except AuthenticationFailed:
            seconds = lockout.refuse_wrong_token(request._request)
            if seconds is not None:
                raise TooManyAttempts(lockout.sentence(seconds), seconds) from None
            raise
        if found is not None:
            origins.came_by(Via.TOKEN, token=found[1].token_key)
            audit.record_visit(found[0])
        return found

    def authenticate_credentials(self, token: bytes) -> Any:
        """The user and the token; what is not even text is a wrong one."""
        if not token.isascii():
            raise AuthenticationFailed(_("Invalid token."))
        return super().authenticate_credentials(token)


class BasicAuthentication(authentication.BasicAuthentication):
    """`Authorization: Basic …`; a name that no user can have is not even looked for."""

    def authenticate_credentials(self, userid: Any, password: Any, request: Any = None) -> Any:
        """The user, and None for the token. Raises AuthenticationFailed and TooManyAttempts."""
        if "\0" in userid or len(userid) > _LONGEST_NAME:
            raise AuthenticationFailed(_("Invalid username/password."))
        # The framework's own request reads the body when it is asked for a form.
        plain = request._request
        lockout.leave_body(plain)
        try:
            found = super().authenticate_credentials(userid, password, plain)
        except AuthenticationFailed:
            if plain.axes_locked_out:
                seconds = lockout.wait(plain, userid)
                raise TooManyAttempts(lockout.sentence(seconds), seconds) from None
            raise
        lockout.forgive(plain, userid)
        origins.came_by(Via.BASIC)
        audit.record_visit(found[0])
        return found
