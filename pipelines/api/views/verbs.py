"""What can be asked of a pipeline: run, pause, cancel, reconcile."""

from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import audit, lifecycle
from pipelines.api.openapi import CONFLICT
from pipelines.api.refusals import Refused
from pipelines.api.serializers.pipelines import AcceptedSerializer, ReconciliationSerializer
from pipelines.api.serializers.strict import Nothing
from pipelines.api.views.base import ApiView
from pipelines.busy import alone
from pipelines.choices import AuditAction, Trigger
from runner import reconcile


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


class Reconcile(ApiView):
    """Comparing source and target."""

    verbs = {"POST": "reconcile"}
    serializer_class = Nothing

    @extend_schema(
        operation_id="reconcile_pipeline",
        summary="Compare source and target",
        request=None,
        responses={200: ReconciliationSerializer, **CONFLICT},
    )
    def post(self, request: Request, pipeline_id: UUID) -> Response:
        """Counts the query's rows and the target table's, under a time limit, and one such count
        at a time per connection."""
        self.validated(request)
        pipeline = self.pipeline(pipeline_id)
        audit.record(AuditAction.RECONCILE, pipeline, by=request.user)
        try:
            with alone(pipeline.source_connection, pipeline.target_connection):
                counts = reconcile.count(
                    reconcile.definition_of(pipeline), seconds=settings.RECONCILE_SECONDS
                )
        except reconcile.ReconcileFailed as failed:
            if failed.code != "query_failed":
                raise
            raise Refused(failed.sentence, failed.code, pipeline_status=pipeline.status) from failed
        answer = {
            "pipeline_id": pipeline_id,
            "source_count": counts.source,
            "target_count": counts.target,
            "difference": counts.difference,
            "status": counts.status,
        }
        return Response(ReconciliationSerializer(answer).data)


def _accepted(pipeline_id: UUID, now: str) -> Response:
    answer = AcceptedSerializer({"pipeline_id": pipeline_id, "status": now})
    return Response(answer.data, status=status.HTTP_202_ACCEPTED)
