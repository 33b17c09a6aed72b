"""The OpenAPI description, its page, the browsable pages, and the two forms of each address."""

import html
import re
from unittest import mock

import pytest
from drf_spectacular.validation import validate_schema

from pipelines.choices import Mode
from pipelines.models import Pipeline
from pipelines.states import PipelineStatus
from tests.control.asking import Asker, Stranger, description
from tests.control.test_api_errors import ROUTES
from tests.control.test_api_permissions import TABLE, TO_REPAIR
from tests.factories import ConnectionFactory, PipelineFactory, ReconciliationFactory

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PAGES = [path for method, path, *_rest in TABLE if method == "GET"]


@pytest.fixture
def admin(db):
    return Asker("administrator")


@pytest.fixture
def pipeline(db):
    ConnectionFactory(name="shop")
    return PipelineFactory()


class TestDescription:
    def test_it_is_valid_openapi_3_1_of_this_version(self, admin):
        answer = admin.get("/schema")
        assert answer.headers["Content-Type"] == "application/json"
        body = answer.json()
        validate_schema(body)
        assert (body["openapi"], body["info"]["version"]) == ("3.1.0", "0.1.0")

    def test_making_it_raises_no_warning(self, capfd):
        description.__wrapped__()
        assert "arning" not in capfd.readouterr().err

    def test_it_has_every_address_once_without_the_slash(self):
        paths = description()["paths"]
        assert not [path for path in paths if path.endswith("/")]
        asked = {(path, method.upper()) for path, methods in paths.items() for method in methods}
        ours = {
            (_template(f"/api/v1{path}"), method)
            for path, methods in {**ROUTES, "/health": ["GET"]}.items()
            if path not in {"/schema", "/docs"}
            for method in methods
        }
        assert asked == ours

    def test_every_operation_has_a_name_a_summary_and_the_errors(self):
        operations = [
            (path, operation)
            for path, methods in description()["paths"].items()
            for operation in methods.values()
        ]
        names = [operation["operationId"] for _path, operation in operations]
        assert len(set(names)) == len(names)
        for path, operation in operations:
            assert operation["summary"]
            if path.endswith("/health"):
                assert set(operation["responses"]) == {"200", "503"}
                continue
            assert {"400", "401", "403", "503", "default"} <= set(operation["responses"])
            assert ("404" in operation["responses"]) == ("{" in path)

    @pytest.mark.parametrize(
        ("path", "method", "codes"),
        [
            ("/pipelines", "post", {"201", "409"}),
            ("/pipelines/{pipeline_id}", "patch", {"200", "409"}),
            ("/pipelines/{pipeline_id}", "delete", {"204", "409"}),
            ("/pipelines/{pipeline_id}/run", "post", {"202", "409"}),
            ("/pipelines/{pipeline_id}/pause", "post", {"202", "409"}),
            ("/pipelines/{pipeline_id}/cancel", "post", {"202", "409"}),
            ("/pipelines/{pipeline_id}/reconcile", "post", {"200", "409", "503"}),
            ("/pipelines/{pipeline_id}/state", "delete", {"204", "409"}),
            ("/connections/{name}", "delete", {"204", "409"}),
            ("/preview", "post", {"200", "400"}),
            ("/tokens", "post", {"201"}),
            ("/tokens/{token_id}", "delete", {"204"}),
        ],
    )
    def test_the_outcomes_of_each_verb_are_in_it(self, path, method, codes):
        assert codes <= set(description()["paths"][f"/api/v1{path}"][method]["responses"])

    def test_paging_headers_and_parameters_are_in_it(self):
        listing = description()["paths"]["/api/v1/pipelines"]["get"]
        assert set(listing["responses"]["200"]["headers"]) == {"Link", "X-Total-Count"}
        assert {parameter["name"] for parameter in listing["parameters"]} == {
            "status",
            "type",
            "mode",
            "enabled",
            "search",
            "ordering",
            "limit",
            "offset",
        }
        schema = listing["responses"]["200"]["content"]["application/json"]["schema"]
        component = schema["$ref"].split("/")[-1] if "$ref" in schema else None
        whole = description()["components"]["schemas"][component] if component else schema
        assert whole["type"] == "array"

    def test_requests_are_closed_and_passwords_go_in_only(self):
        schemas = description()["components"]["schemas"]
        assert schemas["PipelineRequest"]["additionalProperties"] is False
        assert schemas["PipelineRequest"]["required"] == ["name", "source_query", "target_table"]
        assert "required" not in schemas["PatchedPipelineRequest"]
        assert "default" not in schemas["PatchedPipelineRequest"]["properties"]["batch_size"]
        assert schemas["PreviewQuestionRequest"]["additionalProperties"] is False
        assert "password" in schemas["ConnectionRequest"]["properties"]
        assert "password" not in schemas["Connection"]["properties"]
        assert schemas["PipelineStatusEnum"]["enum"] == PipelineStatus.values
        assert schemas["ModeEnum"]["enum"] == Mode.values


class TestPage:
    def test_swagger_ui_loads_nothing_from_elsewhere_and_has_no_script_in_it(self, admin):
        page = admin.get("/docs", headers={"accept": BROWSER})
        assert page.status_code == 200
        text = page.content.decode()
        assert re.findall(r'(?:src|href)="([^"]+)"', text)
        for address in re.findall(r'(?:src|href)="([^"]+)"', text):
            assert address.startswith(("/static/", "/api/v1/docs")), address
        assert not re.search(r"<script[^>]*>\s*[^<\s]", text)
        script = admin.get("/docs?script=", headers={"accept": "*/*"})
        assert script.headers["Content-Type"] == "application/javascript"
        assert "/api/v1/schema" in script.content.decode()
        assert "https://" not in script.content.decode()

    def test_a_browser_is_taken_to_the_sign_in(self, db):
        answer = Stranger().get("/docs", headers={"accept": BROWSER})
        assert answer.status_code == 302
        assert answer.headers["Location"] == "/admin/login/?next=/api/v1/docs"


class TestBrowsablePages:
    @pytest.mark.parametrize("path", [path for path in PAGES if path not in {"/schema", "/docs"}])
    def test_a_browser_gets_a_page(self, admin, pipeline, path):
        key = ReconciliationFactory(pipeline=pipeline).pk
        answer = admin.get(path.format(p=pipeline.pk, c="shop", r=key), headers={"accept": BROWSER})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        for address in re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', _text(answer)):
            assert address.startswith("/static/"), address

    def test_the_form_begins_with_the_defaults_and_the_path_names_each_place_once(self, admin):
        page = html.unescape(_text(admin.get("/pipelines", headers={"accept": BROWSER})))
        for line in ('"type": "SQL"', '"batch_size": 5000', '"source_connection": "default"'):
            assert line in page
        assert re.findall(r'<a href="(/api[^"]*)">', page).count("/api/v1/") == 1
        assert '<a href="/api/v1">' not in page

    @pytest.mark.parametrize(
        "path", [path for method, path, *_rest in TABLE if method == "POST" and "{" in path]
    )
    def test_the_page_of_a_verb_has_its_button(self, admin, pipeline, path):
        key = ReconciliationFactory(pipeline=pipeline).pk
        answer = admin.get(path.format(p=pipeline.pk, c="shop", r=key), headers={"accept": BROWSER})
        assert answer.status_code == 405
        assert "POST" in _text(answer)

    def test_a_stranger_gets_a_page_that_leads_to_the_sign_in_and_back(self, db):
        answer = Stranger().get("/pipelines", headers={"accept": BROWSER})
        assert answer.status_code == 401
        (address,) = re.findall(r"href='([^']+)'>Log in", _text(answer))
        there = Stranger().client.get(address)
        assert there.headers["Location"] == "/admin/login/?next=/api/v1/pipelines"

    def test_signing_out_leads_back(self, admin):
        page = _text(admin.get("/pipelines", headers={"accept": BROWSER}))
        (address,) = re.findall(r'id="logoutForm" method="post" action="([^"]+)"', page)
        assert admin.client.post(address).headers["Location"] == "/api/v1/pipelines"
        assert admin.get("/pipelines").status_code == 401

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [("GET", "/nothing", 404), ("PUT", "/pipelines", 405), ("POST", "/pipelines", 400)],
    )
    def test_errors_are_pages_too(self, admin, method, path, status):
        answer = admin.ask(method, path, {}, headers={"accept": BROWSER})
        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/html")

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "application/*", None])
    def test_anybody_else_gets_json(self, admin, accept):
        headers = {"accept": accept} if accept else {}
        answer = admin.get("/pipelines", headers=headers)
        assert answer.headers["Content-Type"] == "application/json"


class TestBothForms:
    @pytest.mark.parametrize("asked", TABLE, ids=lambda asked: " ".join(asked[:2]))
    def test_each_address_works_with_and_without_the_slash(self, admin, target_url, asked):
        method, path, _who, success, body = asked
        for slash in ("", "/"):
            Pipeline.objects.all().delete()
            pipeline = PipelineFactory(status="RUN_REQUESTED", source_query="SELECT 1 AS id")
            ConnectionFactory(name=f"shop{len(slash)}", host="127.0.0.1", port=1)
            if body and "name" in body:
                body = body | {"name": f"new{len(slash)}"}
            found = ReconciliationFactory(**TO_REPAIR)
            keys = {"p": pipeline.pk, "c": f"shop{len(slash)}", "r": found.pk}
            filled = path.rstrip("/").format(**keys) + slash
            with mock.patch("tests.control.asking.agrees"):
                answer = admin.ask(method, filled, body)
            assert answer.status_code == success, (filled, answer.content)


def _template(path):
    what = "reconciliation_id" if "/reconciliations/" in path else "pipeline_id"
    path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", f"{{{what}}}", path)
    return path.replace("/nowhere", "/{name}").replace("/0123456789abcde", "/{token_id}")


def _text(answer):
    return answer.content.decode()
