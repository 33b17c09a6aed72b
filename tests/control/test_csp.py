"""The headers that tell browsers what they may do: on each kind of answer."""

import pytest
from django.contrib.auth.decorators import login_not_required
from django.test import Client
from django.urls import path

from etl_admin import urls
from pipelines import installation
from pipelines.middleware import KnownInstallation
from tests.factories import PASSWORD, UserFactory
from tests.whole.admin_pages import person

pytestmark = pytest.mark.django_db

PAGE = {
    "default-src 'none'",
    "script-src 'self' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "object-src 'none'",
}
DATA = {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"}


def policy(answer) -> set[str]:
    return set(answer["Content-Security-Policy"].split("; "))


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/", 302),
        ("/admin/", 200),
        ("/admin/login/", 302),
        ("/admin/nowhere", 404),
        ("/admin/pipelines/pipeline/", 200),
        ("/admin/jsi18n/", 200),
        ("/api/v1/docs", 200),
        ("/api/v1/docs?script=", 200),
        ("/static/pipelines/admin.css", 200),
        ("/static/pipelines/nothing.css", 404),
        ("/static/pipelines/favicon.svg", 200),
    ],
)
def test_what_may_be_shown_says_what_it_may_load(address: str, status: int) -> None:
    answer = person().get(address)
    answer.close()

    assert answer.status_code == status
    assert policy(answer) == PAGE


def test_pages_of_who_has_not_signed_in_say_so_too() -> None:
    assert policy(Client().get("/admin/login/")) == PAGE
    assert policy(Client().get("/admin/", follow=False)) == PAGE


def test_the_browsable_api_says_what_it_may_load() -> None:
    answer = person().get("/api/v1/pipelines", headers={"accept": "text/html"})

    assert answer["Content-Type"].startswith("text/html")
    assert policy(answer) == PAGE


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/v1/pipelines", 200),
        ("/api/v1/schema", 200),
        ("/api/v1/health", 200),
        ("/api/v1/nowhere", 404),
        ("/api/v1/pipelines?unknown=1", 400),
    ],
)
def test_data_loads_nothing_at_all(address: str, status: int) -> None:
    answer = person().get(address, headers={"accept": "application/json"})

    assert answer.status_code == status
    assert policy(answer) == DATA


def test_refusals_have_the_policy_too() -> None:
    refused = person("viewer").get("/admin/pipelines/pipeline/add/")
    foreign = Client(headers={"host": "elsewhere.example.com"}).get("/admin/")
    forged = Client(enforce_csrf_checks=True).post("/admin/login/")

    assert [refused.status_code, foreign.status_code, forged.status_code] == [403, 400, 403]
    assert [policy(refused), policy(foreign), policy(forged)] == [PAGE, PAGE, PAGE]


def test_a_page_that_fails_has_the_policy_too(settings) -> None:
    settings.ROOT_URLCONF = __name__
    client = Client(raise_request_exception=False)

    failed = client.get("/failing")
    data = client.get("/api/failing")

    assert [failed.status_code, data.status_code] == [500, 500]
    assert [policy(failed), policy(data)] == [PAGE, DATA]


def test_a_redirect_to_tls_has_the_policy_too(settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = Client().get("/admin/")
    assert answer["Location"].startswith("https://")
    assert policy(answer) == PAGE


def test_a_move_that_nobody_explained_has_the_policy_too(monkeypatch) -> None:
    def moved() -> None:
        place = installation.Place("1", 2)
        raise installation.Moved(recorded=place, found=place)

    monkeypatch.setattr(installation, "check", moved)
    monkeypatch.setattr(KnownInstallation, "_known", False, raising=False)
    page, data = Client().get("/admin/"), Client().get("/api/v1/pipelines")

    assert [page.status_code, data.status_code] == [503, 503]
    assert [policy(page), policy(data)] == [PAGE, DATA]
    assert "This metadata database is not the one it was" in page.content.decode()


def test_other_headers_are_on_every_answer() -> None:
    UserFactory(username="anna")
    signing_in = {"username": "anna", "password": PASSWORD}
    answers = [
        person().get("/admin/"),
        Client().post("/admin/login/", signing_in),
        Client().get("/api/v1/health"),
        Client().get("/static/pipelines/admin.css"),
    ]
    for answer in answers:
        answer.close()
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in answer["Permissions-Policy"]
    assert answers[0]["X-Frame-Options"] == "DENY"


@login_not_required
def _fail(_request):
    raise RuntimeError("broken")


urlpatterns = [path("failing", _fail), path("api/failing", _fail), *urls.urlpatterns]
handler500 = urls.handler500
