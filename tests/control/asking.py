"""Asking the API as somebody, every answer compared with what the OpenAPI description says."""

import json
import re
from functools import cache
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from runner.comparing.values import Level, Report
from tests.factories import UserFactory

BASE = "/api/v1"
#: A comparison that nobody makes.
EQUAL = Report(level=Level.COUNT, source_count=1, target_count=1, equal=True)
# Loading the middleware (which looks through all static files) for each client takes long.
HANDLER = ClientHandler(enforce_csrf_checks=False)
DESCRIPTION = "urn:description"


class Asker:
    """A signed-in person (`group` None: in no group) who asks for JSON."""

    def __init__(self, group: str | None = "administrator", *, user: User | None = None) -> None:
        self.user = user or UserFactory(groups=[group] if group else [])
        self.client = client()
        self.client.force_login(self.user)

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> HttpResponse:
        """`body` is sent as JSON unless it is bytes."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body)
        options = {"content_type": "application/json", "data": body or b"", **options}
        answer = self.client.generic(method, f"{BASE}{path}", **options)
        agrees(method, path, answer)
        return answer

    def get(self, path: str, **options: Any) -> HttpResponse:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        return self.ask("POST", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        return self.ask("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> HttpResponse:
        return self.ask("DELETE", path, **options)


class Stranger(Asker):
    """Somebody who is not signed in."""

    def __init__(self) -> None:
        self.client = client()


def client() -> Client:
    """A client without a session."""
    made = Client()
    made.handler = HANDLER
    return made


def agrees(method: str, path: str, answer: HttpResponse) -> None:
    """Assert that the description has this answer, with this shape and these headers."""
    operation = _operation(method, path)
    if operation is None or "json" not in answer.headers.get("Content-Type", ""):
        return
    responses = operation["responses"]
    described = responses.get(str(answer.status_code), responses.get("default"))
    assert described is not None, (method, path, answer.status_code)
    for name, header in described.get("headers", {}).items():
        if name in answer.headers and header["schema"]["type"] == "integer":
            assert answer.headers[name].isdigit(), name
    if answer.status_code == 204:
        assert answer.content == b""
        return
    schema = described["content"]["application/json"]["schema"]
    _validator(json.dumps(schema)).validate(answer.json())


@cache
def description() -> dict[str, Any]:
    """The description as `/schema` gives it."""
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))


def _operation(method: str, path: str) -> dict[str, Any] | None:
    bare = BASE + path.split("?", maxsplit=1)[0].rstrip("/")
    for template, operations in description()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare):
            return operations.get(method.lower())
    return None


@cache
def _validator(schema: str) -> Draft202012Validator:
    absolute = json.loads(schema.replace('"#/', f'"{DESCRIPTION}#/'))
    whole = json.loads(json.dumps(description()).replace('"#/', f'"{DESCRIPTION}#/'))
    resource = Resource.from_contents(whole | {"$schema": Draft202012Validator.META_SCHEMA["$id"]})
    registry = Registry().with_resource(DESCRIPTION, resource)
    return Draft202012Validator(
        absolute, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
