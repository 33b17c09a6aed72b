"""The description of the API: the errors every operation can answer with, and one form of paths."""

from collections.abc import Callable
from typing import Any

from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

Endpoint = tuple[str, str, str, Callable[..., Any]]

_MEANINGS = {
    "400": "A parameter or a field is wrong; `errors` says which.",
    "401": "Not signed in.",
    "403": "Signed in, but not allowed to do this.",
    "404": "There is no such thing.",
    "409": "It cannot be done as things stand; `status` is the pipeline's, where there is one.",
    "503": "A server that is needed does not answer, or is busy with another such question.",
    "default": "Any other error has the same shape.",
}


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error: a sentence for people and a word for programs."""

    detail = serializers.CharField(help_text="A sentence for a person.")
    code = serializers.CharField(help_text="A word for a program.")
    errors = serializers.DictField(  # type: ignore[assignment]  # the contract's word
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Sentences by field or parameter, when values are wrong.",
    )
    status = serializers.CharField(
        required=False, help_text="The pipeline's status, when it stands in the way."
    )


#: For `extend_schema` of operations that are refused as things stand.
CONFLICT = {409: OpenApiResponse(ErrorSerializer, description=_MEANINGS["409"])}

LINK = OpenApiParameter(
    "Link",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description="Addresses of other pages (RFC 8288).",
)
TOTAL_COUNT = OpenApiParameter(
    "X-Total-Count",
    int,
    OpenApiParameter.HEADER,
    response=[200],
    description="How many there are on all pages.",
)
LOCATION = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[201], description="Address of the new one."
)


class Schema(AutoSchema):
    """Adds to each operation the errors that it shares with the others."""

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        describe: Any = self._get_response_for_code
        if not self.view.permission_classes or not self.view.authentication_classes:
            return bodies  # asked by probes, and answers in its own shape
        shared = ["400", "401", "403", "503", "default"]
        if "{" in self.path:
            shared.insert(3, "404")
        for code in shared:
            answer = OpenApiResponse(ErrorSerializer, description=_MEANINGS[code])
            bodies.setdefault(code, describe(answer, code, None, direction))
        return bodies


# drf-spectacular gives its base class no types.
class TokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    """How a token is sent, for our own class."""

    target_class = "pipelines.api.authentication.TokenAuthentication"
    name = "token"


# As above.
class BasicScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    """A name and a password, for our own class."""

    target_class = "pipelines.api.authentication.BasicAuthentication"
    name = "basic"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """HTTP Basic."""
        return {"type": "http", "scheme": "basic"}


def one_form(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Leaves out the second form of each path, the one with the slash at the end."""
    return [endpoint for endpoint in endpoints if not endpoint[0].endswith("/")]


def exact_requests(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Says of requests that they may have no other fields, and of a PATCH that it fills in none."""
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema["additionalProperties"] = False
            for field in schema["properties"].values() if name.startswith("Patched") else ():
                field.pop("default", None)
    return result
