"""Every error of every address has the one shape, whatever went wrong."""

import json
from unittest import mock
from uuid import uuid4

import pytest
from django.db import DataError, IntegrityError, OperationalError
from django.test import Client
from rest_framework.exceptions import Throttled

from pipelines.api.errors import handle, problem_of
from pipelines.models import Pipeline
from tests.control.asking import Asker, Stranger, client
from tests.factories import PipelineFactory

NOWHERE = "00000000-0000-4000-8000-000000000000"
ONE = f"/pipelines/{NOWHERE}"
#: Every address with the methods it takes.
ROUTES = {
    "": ["GET"],
    "/pipelines": ["GET", "POST"],
    ONE: ["GET", "PATCH", "DELETE"],
    f"{ONE}/run": ["POST"],
    f"{ONE}/pause": ["POST"],
    f"{ONE}/cancel": ["POST"],
    f"{ONE}/reconcile": ["POST"],
    f"{ONE}/reconciliations": ["GET"],
    f"/reconciliations/{NOWHERE}": ["GET"],
    f"/reconciliations/{NOWHERE}/cancel": ["POST"],
    f"/reconciliations/{NOWHERE}/repair": ["POST"],
    f"{ONE}/status": ["GET"],
    f"{ONE}/state": ["GET", "DELETE"],
    f"{ONE}/runs": ["GET"],
    "/preview": ["POST"],
    "/connections": ["GET", "POST"],
    "/connections/nowhere": ["GET", "PATCH", "DELETE"],
    "/connections/nowhere/test": ["POST"],
    "/tokens": ["GET", "POST"],
    "/tokens/0123456789abcde": ["DELETE"],
    "/schema": ["GET"],
    "/docs": ["GET"],
}
ASKED = [(method, path) for path, methods in ROUTES.items() for method in methods]
MISSING = [(m, p) for m, p in ASKED if NOWHERE in p or "nowhere" in p or "/tokens/" in p]
WITH_BODY = [(m, p) for m, p in ASKED if m in {"POST", "PATCH"}]
BY_BODY = {"/pipelines", "/preview", "/connections", "/tokens"}
WITHOUT_ROW = [(m, p) for m, p in WITH_BODY if p in BY_BODY]


def shape(answer, status, code):
    """Assert the one shape; gives the body."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) <= {"detail", "code", "errors", "status"}
    assert body["code"] == code
    assert isinstance(body["detail"], str)
    assert body["detail"]
    for field, sentences in body.get("errors", {}).items():
        assert isinstance(field, str)
        assert sentences
        assert all(isinstance(sentence, str) for sentence in sentences)
    return body


@pytest.fixture
def admin(db):
    return Asker("administrator")


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_who_is_not_signed_in_gets_401(db, method, path):
    answer = Stranger().ask(method, path)
    shape(answer, 401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p in ASKED if p.count("/") > 0])
def test_who_is_in_no_group_gets_403_saying_which_groups_may(db, method, path):
    answer = Asker(None).ask(method, path)
    if path.startswith(("/tokens", "/schema", "/docs")):
        assert answer.status_code != 403
    else:
        assert "administrator" in shape(answer, 403, "permission_denied")["detail"]


@pytest.mark.parametrize(("method", "path"), MISSING)
def test_what_does_not_exist_is_404(admin, method, path):
    shape(admin.ask(method, path, {} if method == "PATCH" else None), 404, "not_found")


@pytest.mark.parametrize("path", ROUTES)
def test_a_method_that_an_address_lacks_is_405_and_named_in_allow(admin, path):
    answer = admin.ask("PUT", path, {})
    shape(answer, 405, "method_not_allowed")
    assert ROUTES[path][0] in answer.headers["Allow"]


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_an_unknown_parameter_is_400_and_named(admin, method, path):
    body = shape(admin.ask(method, f"{path}?nonsense=1"), 400, "invalid")
    assert list(body["errors"]) == ["nonsense"]
    assert "nonsense" in body["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/pipelines/nothing",
        "/pipelines/12345",
        f"{ONE}/nothing",
        f"{ONE}x",
        "/connections/UPPER",
        "/tokens/a-b",
        "/health/deep",
        "//pipelines",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"])
def test_unknown_addresses_are_404_for_everybody(db, method, path):
    shape(Stranger().ask(method, path), 404, "not_found")


def test_uuids_may_be_written_in_capitals(admin):
    pipeline = PipelineFactory()
    assert admin.get(f"/pipelines/{str(pipeline.pk).upper()}").json()["id"] == str(pipeline.pk)


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_an_answer_that_nobody_can_give_is_406(admin, method, path):
    if path == "/docs":
        assert admin.ask(method, path, headers={"accept": "image/png"}).status_code == 406
    else:
        shape(admin.ask(method, path, headers={"accept": "image/png"}), 406, "not_acceptable")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"name": }',
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b"[" * 100_000,
        b'{"batch_size": ' + b"9" * 5000 + b"}",
        b"[]",
        b'"text"',
        b"null",
        b"5",
    ],
)
@pytest.mark.parametrize(("method", "path"), WITHOUT_ROW)
def test_a_body_that_is_no_json_object_is_400(admin, method, path, body):
    shape(admin.ask(method, path, body), 400, "parse_error")


@pytest.mark.parametrize(("method", "path"), WITHOUT_ROW)
def test_a_body_that_is_no_json_at_all_is_415(admin, method, path):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = admin.ask(method, path, b"name=x", content_type=content_type)
        shape(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path"), WITHOUT_ROW)
def test_a_body_that_is_too_large_is_413(admin, settings, method, path):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    shape(admin.ask(method, path, {"name": "x" * 200}), 413, "too_large")
    html = admin.ask(method, path, {"name": "x" * 200}, headers={"accept": "text/html"})
    assert html.status_code == 413


@pytest.mark.parametrize("verb", ["run", "pause", "cancel", "reconcile"])
def test_verbs_take_no_fields(admin, verb):
    pipeline = PipelineFactory()
    body = shape(admin.post(f"/pipelines/{pipeline.pk}/{verb}", {"now": True}), 400, "invalid")
    assert list(body["errors"]) == ["now"]
    pipeline.refresh_from_db()
    assert pipeline.status == "IDLE"


def test_several_wrong_values_are_all_named(admin):
    body = shape(admin.post("/pipelines", {"batch_size": "many", "enabled": 1}), 400, "invalid")
    assert list(body["errors"]) == ["name", "enabled", "target_table", "batch_size", "source_query"]
    assert all(field in body["detail"] for field in body["errors"])


def test_a_session_without_its_csrf_token_may_not_write(admin):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin.user)
    answer = strict.post("/api/v1/tokens", {}, content_type="application/json")
    assert "CSRF" in shape(answer, 403, "permission_denied")["detail"]


@pytest.mark.parametrize(
    "header",
    [
        "Token",
        "Token a b",
        "Token 0123456789abcdef",
        "Token \xff\xfe",
        "Basic",
        "Basic !!!",
        "Basic bm9ib2R5OndybmQ=",
        "Basic AGE6Yg==",  # NUL a : b
    ],
)
def test_a_wrong_sign_in_is_401(db, header):
    answer = client().get("/api/v1/pipelines", headers={"authorization": header})
    shape(answer, 401, "authentication_failed")


def test_throttling_is_429_and_says_when_to_come_back():
    answer = handle(Throttled(wait=7), {"request": mock.Mock()})
    assert (answer.status_code, answer.data["code"]) == (429, "throttled")
    assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OperationalError("no route to 10.1.2.3"), 503, "database_unavailable"),
        (IntegrityError("Key (name)=(secret)"), 409, "conflict"),
        (DataError("value secret"), 400, "invalid"),
        (Pipeline.DoesNotExist("secret"), 404, "not_found"),
        (ValueError("secret"), 500, "server_error"),
    ],
)
def test_what_went_wrong_inside_is_not_told(error, status, code):
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)
    assert "secret" not in json.dumps(problem.body())
    assert "10.1.2.3" not in json.dumps(problem.body())


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_database_that_is_away_is_503(admin, accept):
    away = mock.patch.object(Pipeline.objects, "filter", side_effect=OperationalError("gone"))
    rows = mock.patch(
        "django.db.models.query.QuerySet._fetch_all", side_effect=OperationalError("gone")
    )
    with away, rows:
        answer = admin.get("/pipelines", headers={"accept": accept})
    shape(answer, 503, "database_unavailable")


@pytest.mark.parametrize("debug", [False, True])
def test_our_own_mistake_is_500_without_a_trace_and_logged(admin, settings, caplog, debug):
    settings.DEBUG = debug
    admin.client.raise_request_exception = False
    with mock.patch("pipelines.api.views.site.reverse", side_effect=RuntimeError("secret")):
        answer = admin.get("")
    shape(answer, 500, "server_error")
    assert b"secret" not in answer.content
    assert "secret" in caplog.text


def test_errors_before_any_view_have_the_shape_too(db, settings):
    settings.ALLOWED_HOSTS = ["etl.example.com"]
    answer = client().get("/api/v1/pipelines", headers={"host": "evil.example.com"})
    shape(answer, 400, "bad_request")
    shape(client().get("/api/v2", headers={"host": "etl.example.com"}), 404, "not_found")


def test_a_pipeline_that_vanishes_before_the_verb_is_404(admin):
    shape(admin.post(f"/pipelines/{uuid4()}/run"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "The body is not JSON: see line 1, column 2."),
        (b'{"name":\n 5x}', "The body is not JSON: see line 2, column 3."),
        (b"\xff", "The body is not JSON: it is not in UTF-8."),
        (b'{"batch_size": NaN}', "a number that is not possible"),
        (b'{"batch_size": ' + b"9" * 5000 + b"}", "a number that is not possible"),
    ],
)
def test_a_body_that_is_not_json_is_said_where(admin, body, sentence):
    answer = admin.post("/pipelines", body)
    shape(answer, 400, "parse_error")
    assert sentence in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, "name", "This is needed: give a value."),
        ({"name": None}, "name", "Give a value, or leave the field out; null is not possible."),
        ({"key_columns": "id"}, "key_columns", 'Give a list, like ["id"].'),
        ({"key_columns": [5]}, "key_columns", "Item 1: Give a string."),
        ({"batch_size": "many"}, "batch_size", "Give a whole number."),
        ({"enabled": "maybe"}, "enabled", "Give true or false."),
    ],
)
def test_a_wrong_value_is_told_by_what_to_give(admin, body, field, sentence):
    answer = admin.post("/pipelines", body)
    shape(answer, 400, "invalid")
    assert answer.json()["errors"][field] == [sentence]
