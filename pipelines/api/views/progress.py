"""Where a pipeline stands: status, checkpoint, history of runs."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from pipelines import lifecycle
from pipelines.api.openapi import CONFLICT, LINK
from pipelines.api.pagination import link_header
from pipelines.api.parameters import whole_number
from pipelines.api.serializers.pipelines import StateSerializer, StatusSerializer
from pipelines.api.serializers.runs import RunSerializer
from pipelines.api.views.base import ApiView
from pipelines.models import Pipeline, PipelineRun, PipelineState

USUAL_RUNS = 50
MOST_RUNS = 500


class Status(ApiView):
    """The status alone."""

    verbs = {"GET": "view"}
    serializer_class = StatusSerializer

    @extend_schema(operation_id="get_status", summary="Get the status")
    def get(self, request: Request, pipeline_id: UUID) -> Response:
        """Cheap enough to ask every second."""
        row = Pipeline.objects.with_last_run().get(pk=pipeline_id)
        moments = [row.status_changed_at, row.last_run_progress_at]
        answer = {
            "pipeline_id": row.pk,
            "status": row.status,
            "last_run_id": row.last_run_id,
            "last_updated_at": max(moment for moment in moments if moment is not None),
        }
        return Response(StatusSerializer(answer).data)


class State(ApiView):
    """The checkpoint."""

    verbs = {"GET": "view", "DELETE": "reset"}
    serializer_class = StateSerializer

    @extend_schema(operation_id="get_state", summary="Get the checkpoint")
    def get(self, request: Request, pipeline_id: UUID) -> Response:
        """What an incremental load has done; all null before its first batch."""
        pipeline = self.pipeline(pipeline_id)
        state = PipelineState.objects.filter(pipeline=pipeline).first()
        return Response(StateSerializer(state or PipelineState(pipeline=pipeline)).data)

    @extend_schema(
        operation_id="reset_state",
        summary="Reset the checkpoint",
        responses={204: None, **CONFLICT},
    )
    def delete(self, request: Request, pipeline_id: UUID) -> Response:
        """The next run starts from nothing; works while the target is away."""
        lifecycle.reset_checkpoint(pipeline_id, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RunList(ApiView):
    """The history of runs."""

    verbs = {"GET": "view runs"}
    parameters = {"GET": ("limit", "before")}
    queryset = PipelineRun.objects.defer("definition")
    serializer_class = RunSerializer

    @extend_schema(
        operation_id="list_runs",
        summary="List runs",
        parameters=[
            LINK,
            OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": MOST_RUNS}),
            OpenApiParameter(
                "before", OpenApiTypes.UUID, description="Only runs older than the run of this id."
            ),
        ],
        responses=RunSerializer(many=True),
    )
    def get(self, request: Request, pipeline_id: UUID) -> Response:
        """Newest first; 50 unless `limit` says otherwise."""
        pipeline = self.pipeline(pipeline_id)
        given = request.query_params
        limit = whole_number(given, "limit", least=1, most=MOST_RUNS) or USUAL_RUNS
        runs = self.get_queryset().filter(pipeline=pipeline).order_by("-generation")
        if "before" in given:
            runs = runs.filter(generation__lt=_generation(pipeline, given["before"]))
        found = list(runs[: limit + 1])
        page, has_more = found[:limit], len(found) > limit
        links = _links(request.build_absolute_uri(), older=page[-1].pk if has_more else None)
        return Response(RunSerializer(page, many=True).data, headers={"Link": links})


def _generation(pipeline: Pipeline, run: str) -> int:
    """Where the run of this id stands in the history. Raises ValidationError."""
    try:
        generations = PipelineRun.objects.filter(pipeline=pipeline, pk=UUID(run))
        return generations.values_list("generation", flat=True).get()
    except (ValueError, PipelineRun.DoesNotExist):
        sentence = _("The pipeline has no run of this id.")
        raise ValidationError({"before": [sentence]}) from None


def _links(here: str, *, older: Any) -> str:
    pages: dict[str, str | None] = {"first": remove_query_param(here, "before")}
    if older is not None:
        pages["next"] = replace_query_param(here, "before", older)
    return link_header(pages)
