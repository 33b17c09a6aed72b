"""What all views share: which verb each method is, which query parameters it takes."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.views import APIView

from pipelines import limits
from pipelines.api.parameters import refuse_unknown
from pipelines.api.refusals import LengthRequired
from pipelines.models import Pipeline


class KnownParameters(APIView):
    """Refuses query parameters that the method does not take."""

    #: The names of the query parameters by method; a method that is not here takes none.
    parameters: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Sign in, check the permission, then the body's length and the parameters."""
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            raise LengthRequired
        method = "GET" if request.method == "HEAD" else str(request.method)
        if hasattr(self, method.lower()):
            refuse_unknown(request.query_params, self.parameters.get(method, ()))


class ApiView(KnownParameters, GenericAPIView[Any]):
    """A view of the API; `TablePermission` reads `verbs`."""

    #: The verb of `pipelines.permissions.VERBS` by method; None: whoever is signed in.
    verbs: ClassVar[Mapping[str, str | None]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Beside what every view does, count verbs that may not be asked without end."""
        super().initial(request, *args, **kwargs)
        if verb := self.verbs.get(str(request.method)):
            limits.spend(request.user, verb)

    def validated(self, request: Request, *given: Any, **options: Any) -> dict[str, Any]:
        """The values of the request's body. Raises ValidationError."""
        serializer = self.get_serializer(*given, data=request.data, **options)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        return values

    def pipeline(self, pipeline_id: UUID) -> Pipeline:
        """The pipeline with its connections. Raises Pipeline.DoesNotExist, which becomes 404."""
        rows = Pipeline.objects.select_related("source_connection", "target_connection")
        found: Pipeline = rows.get(pk=pipeline_id)
        return found
