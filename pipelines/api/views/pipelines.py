"""Definitions of pipelines: list, create, read, change, delete."""

from typing import Any
from uuid import UUID

from django.urls import reverse
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import lifecycle
from pipelines.api import definitions
from pipelines.api.filters import PipelineFilter
from pipelines.api.openapi import CONFLICT, LINK, LOCATION, TOTAL_COUNT
from pipelines.api.pagination import ArrayPagination
from pipelines.api.serializers.pipelines import PipelineSerializer, PipelineSummarySerializer
from pipelines.api.views.base import ApiView
from pipelines.models import Pipeline


class PipelineList(ApiView):
    """The pipelines."""

    verbs = {"GET": "view", "POST": "create"}
    parameters = {"GET": (*PipelineFilter.base_filters, "limit", "offset")}
    queryset = Pipeline.objects.all()
    serializer_class = PipelineSerializer
    filter_backends = [DjangoFilterBackend]
    filterset_class = PipelineFilter
    pagination_class = ArrayPagination

    @extend_schema(
        operation_id="list_pipelines",
        summary="List pipelines",
        parameters=[LINK, TOTAL_COUNT],
        responses=PipelineSummarySerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """All pipelines by name, or those that the parameters ask for."""
        columns = PipelineSummarySerializer.Meta.fields
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()).only(*columns))
        return self.get_paginated_response(PipelineSummarySerializer(rows, many=True).data)

    @extend_schema(
        operation_id="create_pipeline",
        summary="Create a pipeline",
        parameters=[LOCATION],
        responses={201: PipelineSerializer, **CONFLICT},
    )
    def post(self, request: Request) -> Response:
        """Checked on both servers first; when anything is wrong nothing is stored."""
        pipeline, warnings = definitions.create(self.validated(request), by=request.user)
        address = reverse("api:pipeline", args=[pipeline.pk])
        return Response(
            _whole(pipeline, warnings),
            status=status.HTTP_201_CREATED,
            headers={"Location": request.build_absolute_uri(address)},
        )


class PipelineDetail(ApiView):
    """One pipeline."""

    verbs = {"GET": "view", "PATCH": "edit", "DELETE": "delete"}
    serializer_class = PipelineSerializer

    @extend_schema(operation_id="get_pipeline", summary="Get a pipeline")
    def get(self, request: Request, pipeline_id: UUID) -> Response:
        """The whole definition and the status."""
        return Response(_whole(self.pipeline(pipeline_id)))

    @extend_schema(
        operation_id="change_pipeline",
        summary="Change a pipeline",
        responses={200: PipelineSerializer, **CONFLICT},
    )
    def patch(self, request: Request, pipeline_id: UUID) -> Response:
        """Changes the fields that are given. What defines the data (type, mode, query, table,
        connections, keys) is checked on both servers, and cannot change while a run is requested
        or active."""
        pipeline = self.pipeline(pipeline_id)
        values = self.validated(request, pipeline, partial=True)
        warnings = definitions.change(pipeline, values, by=request.user)
        return Response(_whole(pipeline, warnings))

    @extend_schema(
        operation_id="delete_pipeline",
        summary="Delete a pipeline",
        responses={204: None, **CONFLICT},
    )
    def delete(self, request: Request, pipeline_id: UUID) -> Response:
        """Deletes it with its runs; the target table stays."""
        lifecycle.delete(self.pipeline(pipeline_id).pk, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _whole(pipeline: Pipeline, warnings: tuple[str, ...] = ()) -> Any:
    return PipelineSerializer(pipeline, context={"warnings": warnings}).data
