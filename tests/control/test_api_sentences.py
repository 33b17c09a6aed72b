"""No answer to a wrong body is a stock text: each says what to give."""

import re

import pytest

from tests.control.asking import Asker
from tests.control.test_api_errors import shape
from tests.factories import ConnectionFactory, PipelineFactory

#: How the frameworks' own texts begin.
STOCK = re.compile(
    r"(A valid|Not a valid|This (field|value|list)|Ensure|Expected|Invalid|Must be|Enter|Incorrect"
    r"|Unsupported|Could not|“?\S+”? is not a valid)"
)
WRONG = [None, True, 5, 1.5, 10**400, [1], [None], {"a": 1}, "", "x" * 400, "a\nb", "\ud800"]
PIPELINE = {"name": "a", "target_table": "analytics.a", "source_query": "SELECT 1 AS id"}
CONNECTION = {"name": "a", "host": "db.example.com", "dbname": "a", "user": "a"}
PIPELINE_FIELDS = [
    *("name", "description", "type", "mode", "enabled", "target_table", "batch_size"),
    *("incremental_key", "source_query", "source_connection", "target_connection", "key_columns"),
    *("publish", "allow_empty", "allow_cascade", "max_shrink_percent", "null_policy"),
    "late_margin",
]
CONNECTION_FIELDS = [
    *("name", "host", "port", "dbname", "user", "password", "sslmode", "target_schemas")
]
CASES = [
    *(("/pipelines", PIPELINE, field) for field in PIPELINE_FIELDS),
    *(("/connections", CONNECTION, field) for field in CONNECTION_FIELDS),
    ("/preview", {**PIPELINE, "rows": 0}, "rows"),
    ("/preview", {**PIPELINE, "rows": 0}, "pipeline"),
    ("/tokens", {}, "expires_in_days"),
]


@pytest.fixture
def admin(db, target_url):
    return Asker("administrator")


def sentences(answer):
    body = shape(answer, 400, "invalid")
    return [body["detail"], *(s for group in body["errors"].values() for s in group)]


@pytest.mark.parametrize(("path", "good", "field"), CASES)
def test_each_wrong_value_is_told_what_to_give(admin, path, good, field):
    for number, value in enumerate(WRONG):
        body = good | {field: value}
        if path != "/tokens" and field != "name":
            body |= {"name": f"a{number}"}
        answer = admin.post(path, body)
        if answer.status_code not in (200, 201):
            for sentence in sentences(answer):
                assert not STOCK.match(sentence), (value, sentence)
                assert sentence.endswith((".", '"].')), (value, sentence)


@pytest.mark.parametrize("path", ["/pipelines", "/connections"])
def test_what_is_missing_is_asked_for(admin, path):
    assert not [sentence for sentence in sentences(admin.post(path, {})) if STOCK.match(sentence)]


@pytest.mark.parametrize("value", [0, -1, 367, 10**30, "7", True])
def test_how_long_a_token_lasts_is_said(admin, value):
    assert "from 1 to 366" in sentences(admin.post("/tokens", {"expires_in_days": value}))[0]


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"1" * 4000])
@pytest.mark.parametrize("field", ["batch_size", "max_shrink_percent"])
def test_a_number_of_any_size_is_told_what_to_give(admin, field, number):
    pipeline = PipelineFactory()
    answer = admin.patch(f"/pipelines/{pipeline.pk}", b'{"%s": %s}' % (field.encode(), number))
    assert "whole number" in sentences(answer)[0]


@pytest.mark.parametrize("path", ["/pipelines", "/connections"])
def test_a_number_that_cannot_be_read_is_called_so(admin, path):
    body = shape(admin.post(path, b'{"port": ' + b"1" * 5000 + b"}"), 400, "parse_error")
    assert "too many digits" in body["detail"]


def test_kinds_of_content_are_named(admin):
    form = admin.post("/connections", b"a=1", content_type="application/x-www-form-urlencoded")
    assert "application/json" in shape(form, 415, "unsupported_media_type")["detail"]
    image = admin.get("/connections", headers={"accept": "image/png"})
    assert "application/json" in shape(image, 406, "not_acceptable")["detail"]


def test_a_connection_in_use_is_told_alike_by_both_faces(admin):
    from pipelines.admin.connection_form import FIELDS, ConnectionForm

    used = ConnectionFactory(name="used")
    PipelineFactory(name="films", source_connection=used)
    said = shape(admin.patch("/connections/used", {"name": "b"}), 409, "connection_in_use")
    values = {name: getattr(used, name) for name in FIELDS} | {"name": "b"}
    form = ConnectionForm(values | {"target_schemas": '["analytics"]'}, instance=used)
    assert form.errors["name"] == [said["detail"]]
