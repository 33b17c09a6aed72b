"""A person's own tokens: make one, list them, revoke one."""

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework import status
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import accounts
from pipelines.api.openapi import CONFLICT
from pipelines.api.refusals import Refused
from pipelines.api.serializers.tokens import (
    NewTokenSerializer,
    TokenRequestSerializer,
    TokenSerializer,
)
from pipelines.api.views.base import ApiView


class TokenList(ApiView):
    """Tokens of whoever asks."""

    verbs = {"GET": None, "POST": None}
    queryset = AuthToken.objects.all()
    serializer_class = TokenRequestSerializer

    @extend_schema(
        operation_id="list_tokens", summary="List tokens", responses=TokenSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """One's own tokens, newest first."""
        rows = self.get_queryset().filter(user=request.user).order_by("-created")
        rows = rows.select_related("label")
        return Response(TokenSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="create_token",
        summary="Make a token",
        responses={201: NewTokenSerializer, **CONFLICT},
    )
    def post(self, request: Request) -> Response:
        """It acts as you do. Shown this once: only a digest of it is kept."""
        values = self.validated(request)
        try:
            row, row_token = accounts.make_token(
                request.user, name=values["name"], days=values["expires_in_days"]
            )
        except accounts.TooManyTokens as many:
            raise Refused(many.sentence, "too_many_tokens") from many
        except accounts.SignedOut as ended:
            raise AuthenticationFailed(ended.sentence) from ended
        row.token = row_token
        return Response(NewTokenSerializer(row).data, status=status.HTTP_201_CREATED)


class TokenDetail(ApiView):
    """One token."""

    verbs = {"DELETE": None}
    serializer_class = TokenSerializer

    @extend_schema(operation_id="delete_token", summary="Revoke a token", responses={204: None})
    def delete(self, request: Request, token_id: str) -> Response:
        """From now on it is not accepted."""
        rows = AuthToken.objects.filter(user=request.user, token_key=token_id)
        if not rows:
            raise NotFound(_("You have no token of this id."))
        for row in rows:
            accounts.revoke_token(row, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)
