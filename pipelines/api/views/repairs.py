"""Asking for a repair of what a comparison found."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import lifecycle
from pipelines.api.fields import Limited
from pipelines.api.openapi import CONFLICT
from pipelines.api.refusals import Refused
from pipelines.api.serializers.pipelines import AcceptedSerializer
from pipelines.api.serializers.strict import StrictSerializer
from pipelines.api.views.base import ApiView
from pipelines.choices import Trigger
from pipelines.models import Reconciliation

_WORDS: dict[str, Any] = dict.fromkeys(
    ("required", "null", "invalid", "min_value", "max_value"),
    _(
        "Confirm how many rows may change at most: missing + extra + different of the comparison, "
        "a whole number above 0."
    ),
)


class RepairSerializer(StrictSerializer):
    """What is confirmed."""

    max_rows = Limited(
        min_value=1,
        max_value=2**53,
        error_messages=_WORDS,
        help_text=_("How many rows the repair may insert, update and delete together."),
    )


class Repair(ApiView):
    """Repairing the target."""

    verbs = {"POST": "run"}
    serializer_class = RepairSerializer

    @extend_schema(
        operation_id="repair_reconciliation",
        summary="Repair what a comparison found",
        request=RepairSerializer,
        responses={202: AcceptedSerializer, **CONFLICT},
    )
    def post(self, request: Request, reconciliation_id: UUID) -> Response:
        """A run that moves only the rows that differ: missing ones are inserted, different ones
        updated, extra ones deleted. It compares anew first, and changes nothing when more rows
        differ by then than `max_rows`."""
        found = Reconciliation.objects.select_related("pipeline").get(pk=reconciliation_id)
        limit = self.validated(request)["max_rows"]
        try:
            now = lifecycle.request_repair(
                found.pk, limit=limit, by=request.user, trigger=Trigger.API
            )
        except lifecycle.RepairRefused as refused:
            raise Refused(
                refused.sentence, refused.code, pipeline_status=found.pipeline.status
            ) from refused
        answer = AcceptedSerializer({"pipeline_id": found.pipeline_id, "status": now})
        return Response(answer.data, status=status.HTTP_202_ACCEPTED)
