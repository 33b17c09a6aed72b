"""Connections: list, create, read, change, delete, try out."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import audit, changes
from pipelines.api.naming import unique_name
from pipelines.api.openapi import CONFLICT, LOCATION
from pipelines.api.refusals import Refused
from pipelines.api.serializers.connections import ConnectionSerializer, ConnectionTestSerializer
from pipelines.api.serializers.strict import Nothing
from pipelines.api.views.base import ApiView
from pipelines.choices import AuditAction
from pipelines.models import Connection
from pipelines.secrets import Unreadable
from pipelines.validation import duplicate_connection, password_columns, used_by_sentence
from runner import preflight


class ConnectionList(ApiView):
    """The connections."""

    verbs = {"GET": "view connection", "POST": "create connection"}
    queryset = Connection.objects.all()
    serializer_class = ConnectionSerializer

    @extend_schema(
        operation_id="list_connections",
        summary="List connections",
        responses=ConnectionSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """All connections by name, without their passwords."""
        return Response(ConnectionSerializer(self.get_queryset(), many=True).data)

    @extend_schema(
        operation_id="create_connection",
        summary="Create a connection",
        parameters=[LOCATION],
        responses={201: ConnectionSerializer, **CONFLICT},
    )
    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """Stores it without asking its server; `/test` does that."""
        values = self.validated(request)
        connection = Connection(**_without_password(values))
        connection.secret = password_columns(values, connection).get("secret", "")
        with unique_name(duplicate_connection(connection.name)):
            changes.create(connection, by=request.user)
        address = reverse("api:connection", args=[connection.name])
        return Response(
            ConnectionSerializer(connection).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": request.build_absolute_uri(address)},
        )


class ConnectionDetail(ApiView):
    """One connection."""

    verbs = {
        "GET": "view connection",
        "PATCH": "edit connection",
        "DELETE": "delete connection",
    }
    serializer_class = ConnectionSerializer

    @extend_schema(operation_id="get_connection", summary="Get a connection")
    def get(self, request: Request, name: str) -> Response:
        """The connection without its password."""
        return Response(ConnectionSerializer(_connection(name)).data)

    @extend_schema(
        operation_id="change_connection",
        summary="Change a connection",
        responses={200: ConnectionSerializer, **CONFLICT},
    )
    @method_decorator(sensitive_variables())
    def patch(self, request: Request, name: str) -> Response:
        """Changes the fields that are given; a password that is not given stays."""
        with transaction.atomic():
            # Locked, so that what is checked about its password is so when it is stored.
            connection = _editable(name, lock=True)
            values = self.validated(request, connection, partial=True)
            _change(connection, values, by=request.user)
        return Response(ConnectionSerializer(connection).data)

    @extend_schema(
        operation_id="delete_connection",
        summary="Delete a connection",
        responses={204: None, **CONFLICT},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Possible while no pipeline uses it."""
        connection = _editable(name)
        _refuse_while_used(connection, _("delete it"))
        try:
            changes.delete(connection, by=request.user)
        except (ProtectedError, IntegrityError):
            # Used by a pipeline that was made between the question and the deletion.
            _refuse_while_used(connection, _("delete it"))
            raise
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConnectionTest(ApiView):
    """Trying a connection out."""

    verbs = {"POST": "test connection"}
    serializer_class = Nothing

    @extend_schema(
        operation_id="test_connection",
        summary="Test a connection",
        request=None,
        responses=ConnectionTestSerializer,
    )
    def post(self, request: Request, name: str) -> Response:
        """Tries to sign in, for a few seconds at most; `ok` says whether it went well."""
        self.validated(request)
        connection = _connection(name)
        answer = {"name": name, **_try(connection)}
        audit.record(AuditAction.TEST, connection, by=request.user, ok=answer["ok"])
        return Response(ConnectionTestSerializer(answer).data)


def _connection(name: str, *, lock: bool = False) -> Connection:
    rows = Connection.objects.select_for_update() if lock else Connection.objects.all()
    connection = rows.filter(name=name).first()
    if connection is None:
        raise NotFound(_("There is no connection of this name."))
    return connection


def _editable(name: str, *, lock: bool = False) -> Connection:
    connection = _connection(name, lock=lock)
    if connection.is_built_in:
        sentence = _(
            "The connection “default” is built in: its address is the setting WAREHOUSE_URL."
        )
        raise Refused(sentence, "built_in")
    return connection


@sensitive_variables()
def _change(connection: Connection, values: Mapping[str, Any], *, by: Any) -> None:
    changed = {
        name: value
        for name, value in values.items()
        if name != "password" and getattr(connection, name) != value
    } | password_columns(values, connection)
    if "name" in changed:
        # Checkpoints are kept for a connection's name: under a new one all is read again.
        _refuse_while_used(connection, _("rename it"))
    if changed:
        with unique_name(duplicate_connection(str(changed.get("name", "")))):
            changes.change_connection(connection, changed, by=by)
        connection.refresh_from_db()


@sensitive_variables()
def _without_password(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "password"}


def _refuse_while_used(connection: Connection, what: str) -> None:
    if sentence := used_by_sentence(connection, what):
        raise Refused(sentence, "connection_in_use")


def _try(connection: Connection) -> dict[str, Any]:
    try:
        report = preflight.test_connection(preflight.address_of(connection))
    except Unreadable as error:
        report = preflight.ConnectionReport(ok=False, sentence=str(error))
    return {**vars(report), "detail": report.sentence}
