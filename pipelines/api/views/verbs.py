"""What can be asked of a pipeline: run, pause, cancel."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import lifecycle
from pipelines.api.openapi import CONFLICT
from pipelines.api.serializers.pipelines import AcceptedSerializer
from pipelines.api.serializers.strict import Nothing
from pipelines.api.views.base import ApiView
from pipelines.choices import Trigger


class Run(ApiView):
    """Asking for a run."""

    verbs = {"POST": "run"}
    serializer_class = Nothing

    @extend_schema(
        operation_id="run_pipeline",
        summary="Request a run",
        request=None,
        responses={202: AcceptedSerializer, **CONFLICT},
    )
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """A worker will take it; asking again while it waits is the same."""
        self.validated(request)
        return _accepted(
            pipeline_id,
            lifecycle.request_run(pipeline_id, by=request.user, trigger=Trigger.API),
        )


class Pause(ApiView):
    """Asking for a pause."""

    verbs = {"POST": "pause"}
    serializer_class = Nothing

    @extend_schema(
        operation_id="pause_pipeline",
        summary="Request a pause",
        request=None,
        responses={202: AcceptedSerializer, **CONFLICT},
    )
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """The worker finishes the batch that is open; a full load starts again when run next."""
        self.validated(request)
        return _accepted(pipeline_id, lifecycle.request_pause(pipeline_id, by=request.user))


class Cancel(ApiView):
    """Asking to stop at once."""

    verbs = {"POST": "cancel"}
    serializer_class = Nothing

    @extend_schema(
        operation_id="cancel_pipeline",
        summary="Cancel a run",
        request=None,
        responses={202: AcceptedSerializer, **CONFLICT},
    )
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """What waits is taken back; a run in progress drops the batch that is open."""
        self.validated(request)
        return _accepted(pipeline_id, lifecycle.request_cancel(pipeline_id, by=request.user))


def _accepted(pipeline_id: UUID, now: str) -> Response:
    answer = AcceptedSerializer({"pipeline_id": pipeline_id, "status": now})
    return Response(answer.data, status=status.HTTP_202_ACCEPTED)
