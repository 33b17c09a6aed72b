"""The entrance, the health check, and what answers where there is nothing."""

from typing import Any

from django.conf import settings
from django.db import DatabaseError, Error, connection
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pipelines import installation
from pipelines.api.views.base import ApiView

#: A probe wants an answer soon, also from a server that accepts and says nothing.
CONNECT_SECONDS = 3
ENTRANCES = ("pipelines", "connections", "tokens", "health", "schema", "docs")


class RootSerializer(serializers.Serializer[Any]):
    """Addresses to begin with."""

    pipelines = serializers.URLField()
    connections = serializers.URLField()
    tokens = serializers.URLField()
    health = serializers.URLField()
    schema = serializers.URLField()
    docs = serializers.URLField()


class HealthSerializer(serializers.Serializer[Any]):
    """Whether the service lives and reaches its database."""

    status = serializers.ChoiceField(choices=["ok", "error"])
    db = serializers.ChoiceField(choices=["ok", "error"])
    version = serializers.CharField()


class Root(ApiView):
    """ETL API."""

    verbs = {"GET": None}
    serializer_class = RootSerializer

    @extend_schema(operation_id="get_root", summary="Where to begin", tags=["root"])
    def get(self, request: Request) -> Response:
        """Addresses to begin with."""
        return Response(
            {name: request.build_absolute_uri(reverse(f"api:{name}")) for name in ENTRANCES}
        )


class Health(ApiView):
    """Health check."""

    authentication_classes = []
    permission_classes = [AllowAny]
    serializer_class = HealthSerializer

    @extend_schema(
        operation_id="get_health",
        summary="Check the service",
        responses={200: HealthSerializer, 503: HealthSerializer},
    )
    def get(self, request: Request) -> Response:
        """503 when the metadata database is away, or a copy that nobody has explained."""
        answers = _database_answers()
        serves = answers and _is_known()
        answer = {
            "status": "ok" if serves else "error",
            "db": "ok" if answers else "error",
            "version": settings.VERSION,
        }
        code = status.HTTP_200_OK if serves else status.HTTP_503_SERVICE_UNAVAILABLE
        return Response(answer, status=code)


class Unknown(APIView):
    """Nothing."""

    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """404 for every method."""
        super().initial(request, *args, **kwargs)
        raise NotFound


def _database_answers() -> bool:
    """A new connection, for one that is kept could hang on a server that is frozen."""
    try:
        with connection.wrap_database_errors:
            params = connection.get_connection_params() | {"connect_timeout": CONNECT_SECONDS}
            with connection.get_new_connection(params) as session:
                session.execute("SELECT 1")
    except Error:
        return False
    return True


def _is_known() -> bool:
    try:
        installation.check()
    except (installation.Moved, DatabaseError):
        return False
    return True
