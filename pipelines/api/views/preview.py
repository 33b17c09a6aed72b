"""Looking at a definition, stored or not; nothing is stored here."""

from collections.abc import Mapping
from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from pipelines import audit
from pipelines.api import definitions
from pipelines.api.serializers.previews import PreviewQuestionSerializer, PreviewSerializer
from pipelines.api.views.base import ApiView
from pipelines.definition import freeze
from pipelines.models import Pipeline
from pipelines.validation import warnings_for
from runner import preflight


class Preview(ApiView):
    """What a definition looks like."""

    verbs = {"POST": "preview"}
    serializer_class = PreviewQuestionSerializer

    @extend_schema(
        operation_id="preview",
        summary="Preview a definition",
        request=PreviewQuestionSerializer,
        responses=PreviewSerializer,
    )
    def post(self, request: Request) -> Response:
        """Checks a definition on both servers and shows its columns, its first rows and its plan.
        Give all of it, or a stored pipeline's id with what to change. Nothing is stored, and each
        server is asked within seconds, one such question at a time per connection; what takes
        longer is left out and said."""
        # Our parser takes nothing but objects.
        stored = _stored(cast(Mapping[str, Any], request.data))
        thing = stored and audit.thing_of(stored)
        values = self.validated(request, stored, partial=stored is not None)
        rows = values.pop("rows", preflight.USUAL_ROWS)
        values.pop("pipeline", None)
        pipeline = stored or Pipeline()
        for name, value in values.items():
            setattr(pipeline, name, value)
        audit.record_preview(thing, freeze(pipeline), by=request.user)
        found = definitions.preview(pipeline, rows=rows)
        return Response(PreviewSerializer(_answer(found, pipeline)).data)


def _stored(given: Mapping[str, Any]) -> Pipeline | None:
    """The pipeline that the other fields are changes to. Raises ValidationError."""
    if "pipeline" not in given:
        return None
    asked = PreviewQuestionSerializer().fields["pipeline"]
    try:
        found: Pipeline = asked.run_validation(given["pipeline"])
    except ValidationError as error:
        raise ValidationError({"pipeline": error.detail}) from None
    return found


def _answer(found: preflight.Preview, pipeline: Pipeline) -> dict[str, Any]:
    told, findings = preflight.tell(found), found.findings
    return {
        "columns": found.columns,
        "as_bytes": found.as_bytes,
        "rows": found.rows,
        "rows_note": told.rows,
        "plan": found.plan,
        "plan_in_words": told.plan,
        "key": told.key,
        "target": told.target,
        "ddl": found.ddl,
        "method": str(findings.method),
        "method_reasons": told.method_reasons,
        "promise": findings.promise,
        "warnings": [*findings.warnings, *warnings_for(pipeline)],
    }
