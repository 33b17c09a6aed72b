"""Signing in: a session, a password, or a token that is shown once."""

from base64 import b64encode
from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from knox.models import AuthToken

from tests.control.asking import Asker, client
from tests.control.test_api_errors import shape
from tests.factories import PASSWORD, UserFactory


@pytest.fixture
def viewer(db):
    return Asker("viewer")


def with_header(value, path="/pipelines", method="get"):
    return getattr(client(), method)(f"/api/v1{path}", headers={"authorization": value})


def expiry_in_days(body):
    return round((parse_datetime(body["expires_at"]) - timezone.now()) / timedelta(days=1))


def test_a_token_is_shown_once_and_signs_in(viewer):
    made = viewer.post("/tokens")
    assert made.status_code == 201
    body = made.json()
    assert list(body) == ["id", "name", "created_at", "expires_at", "token"]
    assert with_header(f"Token {body['token']}").status_code == 200
    (listed,) = viewer.get("/tokens").json()
    assert listed == {name: body[name] for name in ("id", "name", "created_at", "expires_at")}
    assert body["token"] not in viewer.get("/tokens").content.decode()
    assert body["token"] not in AuthToken.objects.get().digest


def test_a_token_acts_as_its_owner(viewer):
    token = viewer.post("/tokens").json()["token"]
    answer = client().post(
        "/api/v1/pipelines",
        {},
        content_type="application/json",
        headers={"authorization": f"Token {token}"},
    )
    shape(answer, 403, "permission_denied")


def test_a_token_lasts_ninety_days_unless_asked_otherwise(viewer):
    assert expiry_in_days(viewer.post("/tokens").json()) == 90
    assert expiry_in_days(viewer.post("/tokens", {"expires_in_days": 7}).json()) == 7
    assert expiry_in_days(viewer.post("/tokens", {"expires_in_days": 366}).json()) == 366


@pytest.mark.parametrize("days", [0, -1, 367, 10**30, "7", True, None, 1.5])
def test_a_wrong_length_of_time_is_refused(viewer, days):
    body = shape(viewer.post("/tokens", {"expires_in_days": days}), 400, "invalid")
    assert list(body["errors"]) == ["expires_in_days"]
    assert not AuthToken.objects.exists()


def test_unknown_fields_are_refused(viewer):
    body = shape(viewer.post("/tokens", {"user": "admin"}), 400, "invalid")
    assert list(body["errors"]) == ["user"]


def test_a_revoked_token_does_not_sign_in(viewer):
    body = viewer.post("/tokens").json()
    assert viewer.delete(f"/tokens/{body['id']}").status_code == 204
    shape(with_header(f"Token {body['token']}"), 401, "authentication_failed")
    shape(viewer.delete(f"/tokens/{body['id']}"), 404, "not_found")


def test_an_expired_token_does_not_sign_in(viewer):
    body = viewer.post("/tokens").json()
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    shape(with_header(f"Token {body['token']}"), 401, "authentication_failed")


def test_tokens_of_others_are_neither_seen_nor_revoked(viewer):
    body = viewer.post("/tokens").json()
    other = Asker("administrator")
    assert other.get("/tokens").json() == []
    shape(other.delete(f"/tokens/{body['id']}"), 404, "not_found")
    assert with_header(f"Token {body['token']}").status_code == 200


def test_a_token_of_who_was_deactivated_does_not_sign_in(viewer):
    token = viewer.post("/tokens").json()["token"]
    viewer.user.is_active = False
    viewer.user.save(update_fields=["is_active"])
    shape(with_header(f"Token {token}"), 401, "authentication_failed")


def test_name_and_password_sign_in(db):
    user = UserFactory(groups=["viewer"])
    right = b64encode(f"{user.username}:{PASSWORD}".encode()).decode()
    wrong = b64encode(f"{user.username}:guess".encode()).decode()
    assert with_header(f"Basic {right}").status_code == 200
    shape(with_header(f"Basic {wrong}"), 401, "authentication_failed")
