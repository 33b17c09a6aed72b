"""Signing in with a token or a password; what may be done then is in `permissions`."""

from typing import Any

from django.utils.translation import gettext as _
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]  # knox has no types
    """`Authorization: Token …`; a token that is not even text is a wrong one."""

    def authenticate_credentials(self, token: bytes) -> Any:
        """The user and the token. Raises AuthenticationFailed."""
        if not token.isascii():
            raise AuthenticationFailed(_("Invalid token."))
        return super().authenticate_credentials(token)


class BasicAuthentication(authentication.BasicAuthentication):
    """`Authorization: Basic …`; PostgreSQL cannot even look for a name with a NUL in it."""

    def authenticate_credentials(self, userid: Any, password: Any, request: Any = None) -> Any:
        """The user, and None for the token. Raises AuthenticationFailed."""
        if "\0" in userid:
            raise AuthenticationFailed(_("Invalid username/password."))
        return super().authenticate_credentials(userid, password, request)
