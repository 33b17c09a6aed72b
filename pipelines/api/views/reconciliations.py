"""Comparing source and target: asking, the history of answers, one of them, stopping one."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.utils.urls import remove_query_param, replace_query_param

from pipelines import lifecycle
from pipelines.api.openapi import CONFLICT, LINK
from pipelines.api.pagination import link_header
from pipelines.api.parameters import whole_number
from pipelines.api.refusals import Refused
from pipelines.api.serializers.reconciliations import (
    QuestionSerializer,
    ReconciliationDetailSerializer,
    ReconciliationSerializer,
)
from pipelines.api.serializers.strict import Nothing
from pipelines.api.views.base import ApiView
from pipelines.models import Reconciliation
from runner import reconcile

USUAL = 50
MOST = 500


class Reconcile(ApiView):
    """Comparing source and target."""

    verbs = {"POST": "reconcile"}
    serializer_class = QuestionSerializer

    @extend_schema(
        operation_id="reconcile_pipeline",
        summary="Compare source and target",
        request=QuestionSerializer,
        responses={
            200: ReconciliationDetailSerializer,
            202: ReconciliationDetailSerializer,
            **CONFLICT,
        },
    )
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """Counts both sides, or looks whether (checksum) or which (rows) rows differ, under a time
        limit and one such comparison at a time per connection. What takes longer is left to a
        worker: 202, and `Location` has the address to ask for the answer."""
        values = self.validated(request)
        pipeline = self.pipeline(pipeline_id)
        try:
            found = reconcile.ask(
                pipeline,
                level=reconcile.Level(values["level"]),
                sample=values["sample"],
                tolerances=values["tolerances"],
                by=request.user,
            )
        except reconcile.ReconcileFailed as failed:
            if failed.code != "query_failed":
                raise
            raise Refused(failed.sentence, failed.code, pipeline_status=pipeline.status) from failed
        body = ReconciliationDetailSerializer(found, context=self.get_serializer_context()).data
        if not found.is_open:
            return Response(body)
        address = reverse(
            "api:reconciliation", kwargs={"reconciliation_id": found.pk}, request=request
        )
        return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": address})


class ReconciliationList(ApiView):
    """The comparisons of a pipeline."""

    verbs = {"GET": "view reconciliations"}
    parameters = {"GET": ("limit", "before")}
    serializer_class = ReconciliationSerializer
    queryset = Reconciliation.objects.select_related("requested_by").defer(
        "definition", "rows", "ranges"
    )

    @extend_schema(
        operation_id="list_reconciliations",
        summary="List comparisons",
        parameters=[
            LINK,
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MOST}),
            OpenApiParameter(
                "before", OpenApiTypes.UUID, description="Only those older than that of this id."
            ),
        ],
        responses=ReconciliationSerializer(many=True),
    )
    def get(self, request: Request, pipeline_id: UUID) -> Response:
        """Newest first; 50 unless `limit` says otherwise. The rows are in each one's detail."""
        pipeline = self.pipeline(pipeline_id)
        given = request.query_params
        limit = whole_number(given, "limit", least=1, most=MOST) or USUAL
        rows = self.get_queryset().filter(pipeline=pipeline).order_by("-requested_at", "-id")
        if "before" in given:
            rows = rows.filter(requested_at__lt=_moment(pipeline, given["before"]))
        found = list(rows[: limit + 1])
        page, has_more = found[:limit], len(found) > limit
        links = _links(request.build_absolute_uri(), older=page[-1].pk if has_more else None)
        body = ReconciliationSerializer(page, many=True).data
        return Response(body, headers={"Link": links})


class ReconciliationDetail(ApiView):
    """One comparison."""

    verbs = {"GET": "view reconciliations"}
    serializer_class = ReconciliationDetailSerializer

    @extend_schema(operation_id="get_reconciliation", summary="Get a comparison")
    def get(self, request: Request, reconciliation_id: UUID) -> Response:
        """Where it stands, and once it has ended what it found."""
        found = Reconciliation.objects.select_related("requested_by").get(pk=reconciliation_id)
        return Response(self.get_serializer(found).data)


class Cancel(ApiView):
    """Stopping a comparison."""

    verbs = {"POST": "cancel reconciliation"}
    serializer_class = Nothing

    @extend_schema(
        operation_id="cancel_reconciliation",
        summary="Cancel a comparison",
        request=None,
        responses={202: ReconciliationDetailSerializer},
    )
    def post(self, request: Request, reconciliation_id: UUID) -> Response:
        """One that waits ends at once, one that is being made within a second or two; one that has
        ended stays as it is."""
        self.validated(request)
        found = lifecycle.cancel_reconciliation(reconciliation_id, by=request.user)
        body = ReconciliationDetailSerializer(found, context=self.get_serializer_context()).data
        return Response(body, status=status.HTTP_202_ACCEPTED)


def _moment(pipeline: Any, key: str) -> Any:
    """When the comparison of this id was asked for. Raises ValidationError."""
    try:
        rows = Reconciliation.objects.filter(pipeline=pipeline, pk=UUID(key))
        return rows.values_list("requested_at", flat=True).get()
    except (ValueError, Reconciliation.DoesNotExist):
        sentence = _("The pipeline has no comparison of this id.")
        raise ValidationError({"before": [sentence]}) from None


def _links(here: str, *, older: Any) -> str:
    pages: dict[str, str | None] = {"first": remove_query_param(here, "before")}
    if older is not None:
        pages["next"] = replace_query_param(here, "before", older)
    return link_header(pages)
