"""API tokens in the admin, and what ends with a password or an account."""

from io import StringIO
from unittest import mock

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from knox.models import AuthToken

from pipelines import accounts
from pipelines.models import AuditRecord
from tests.control.asking import Asker, client
from tests.control.test_api_errors import shape
from tests.factories import PASSWORD, UserFactory
from tests.whole.admin_pages import listing, page, person, posted, said

NEW = "another correct horse 8"


def make(browser, **changes):
    return browser.post(listing(AuthToken, "add"), {"name": "nightly", "days": "30", **changes})


def accepted(token):
    headers = {"authorization": f"Token {token}"}
    return client().get("/api/v1/tokens", headers=headers).status_code == 200


@pytest.fixture
def viewer(db):
    return person("viewer")


@pytest.fixture
def token(viewer):
    return accounts.make_token(viewer.user, name="nightly", days=7)[1]


def test_a_token_is_made_and_shown_this_once(viewer):
    answer = make(viewer)
    (row,) = AuthToken.objects.all()
    secret = answer.context["secret"]
    assert answer.status_code == 200
    assert secret in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    assert accepted(secret)
    assert (row.user, row.label.name) == (viewer.user, "nightly")
    assert 29 <= (row.expiry - row.created).days <= 30
    later = [viewer.get(path).content.decode() for path in (listing(AuthToken), page(row))]
    assert all("nightly" in html and secret not in html for html in later)


def test_the_token_is_kept_nowhere(viewer):
    answer = make(viewer)
    secret = answer.context["secret"]
    rows = [list(model.objects.values()) for model in (AuthToken, AuditRecord, LogEntry)] + [
        [session.get_decoded() for session in Session.objects.all()]
    ]
    assert secret not in str(rows)
    assert secret not in str(answer.cookies)
    assert not [str(message) for message in get_messages(answer.wsgi_request)]


def test_a_token_is_not_in_the_log(viewer, caplog, capfd):
    caplog.set_level("DEBUG")
    secret = make(viewer).context["secret"]
    accepted(secret)
    out = capfd.readouterr()
    assert secret not in caplog.text + out.out + out.err


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", "x" * 101), ("days", "0"), ("days", "367"), ("days", "soon")],
)
def test_wrong_input_makes_none(viewer, field, value):
    answer = make(viewer, **{field: value})
    assert list(answer.context["form"].errors) == [field]
    assert not AuthToken.objects.exists()


def test_opening_the_page_makes_none(viewer):
    viewer.get(f"{listing(AuthToken, 'add')}?name=nightly&days=30")
    assert not AuthToken.objects.exists()


def test_making_one_takes_the_csrf_token(viewer):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(viewer.user)
    assert make(strict).status_code == 403
    assert not AuthToken.objects.exists()


def test_fifty_are_enough(viewer):
    for _ in range(accounts.MOST_TOKENS):
        AuthToken.objects.create(viewer.user)
    answer = make(viewer)
    assert "50 API tokens" in answer.content.decode()
    shape(Asker(user=viewer.user).post("/tokens"), 409, "too_many_tokens")
    assert AuthToken.objects.count() == accounts.MOST_TOKENS
    AuthToken.objects.update(expiry="2020-01-01T00:00:00Z")
    assert make(viewer).context["secret"]


def test_people_see_and_revoke_their_own_only(viewer):
    own = AuthToken.objects.create(viewer.user)[0]
    others = AuthToken.objects.create(UserFactory())[0]
    html = viewer.get(listing(AuthToken)).content.decode()
    assert own.token_key in html
    assert others.token_key not in html
    viewer.post(page(others, "delete"), {"post": "yes"})
    body = {"action": "delete_selected", "_selected_action": [others.pk], "post": "yes"}
    viewer.post(listing(AuthToken), body)
    assert AuthToken.objects.filter(pk=others.pk).exists()
    viewer.post(page(own, "delete"), {"post": "yes"})
    assert not AuthToken.objects.filter(pk=own.pk).exists()


def test_an_administrator_revokes_those_of_others(viewer, token):
    admin, row = person(), AuthToken.objects.get()
    answer = admin.post(page(row, "delete"), {"post": "yes"}, follow=True)
    assert said(answer) == [f"“{viewer.user}: {row.token_key}…” is revoked."]
    assert row.digest not in answer.content.decode()
    assert not accepted(token)


def test_making_and_revoking_is_audited(viewer):
    make(viewer)
    row = AuthToken.objects.get()
    viewer.post(page(row, "delete"), {"post": "yes"})
    Asker(user=viewer.user).post("/tokens", {"name": "by the API"})
    records = AuditRecord.objects.filter(object_type="token").order_by("id")
    assert [(found.action, found.via) for found in records] == [
        ("token_made", "admin"),
        ("token_revoked", "admin"),
        ("token_made", "api_session"),
    ]
    assert records[0].details == {"name_of_token": "nightly", "days": 30}
    assert records[1].object_id == row.token_key


def test_over_the_api_a_token_has_a_name_too(viewer):
    asker = Asker(user=viewer.user)
    assert asker.post("/tokens", {"name": "nightly"}).json()["name"] == "nightly"
    assert [row["name"] for row in asker.get("/tokens").json()] == ["nightly"]


def test_a_token_from_before_there_were_names_is_listed(viewer):
    AuthToken.objects.create(viewer.user)
    assert Asker(user=viewer.user).get("/tokens").json()[0]["name"] == ""


# What ends with what


def test_tokens_end_with_the_password_that_one_changes(viewer, token):
    viewer.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW},
    )
    assert not accepted(token)
    assert viewer.get("/admin/").status_code == 200
    assert AuditRecord.objects.filter(action="password", user=viewer.user).count() == 1


def test_a_wrong_old_password_ends_nothing(viewer, token):
    answer = viewer.post(
        "/admin/password_change/",
        {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW},
    )
    assert answer.status_code == 200
    assert accepted(token)
    assert not AuditRecord.objects.filter(action="password").exists()


def test_tokens_and_sessions_end_with_the_password_that_an_administrator_sets(viewer, token):
    admin = person()
    path = f"/admin/auth/user/{viewer.user.pk}/password/"
    wrong = {"password1": NEW, "password2": "other", "usable_password": "true"}
    admin.post(path, wrong)
    assert accepted(token)
    admin.post(path, {**wrong, "password2": NEW})
    assert not accepted(token)
    assert viewer.get("/admin/").status_code == 302
    row = AuditRecord.objects.get(action="password")
    assert (row.user, row.object_name) == (admin.user, viewer.user.username)


def test_tokens_end_with_the_password_that_the_command_sets(viewer, token):
    target = "pipelines.management.commands.changepassword.Command._get_pass"
    with mock.patch(target, return_value=NEW):
        call_command("changepassword", viewer.user.username, stdout=StringIO())
    assert not accepted(token)
    assert AuditRecord.objects.get(action="password").via == "command"
    with pytest.raises(CommandError):
        call_command("changepassword", "nobody", stdout=StringIO())


def test_tokens_and_sessions_end_with_the_account(viewer, token):
    admin = person()
    admin.post(page(viewer.user), posted(admin, viewer.user, is_active=""))
    assert not accepted(token)
    assert viewer.get("/admin/").status_code == 302
    User.objects.filter(pk=viewer.user.pk).update(is_active=True)
    assert not accepted(token)


def test_an_account_that_stays_active_keeps_its_tokens(viewer, token):
    admin = person()
    admin.post(page(viewer.user), posted(admin, viewer.user, first_name="Vi"))
    assert accepted(token)


def test_a_password_that_is_too_short_is_not_taken(viewer):
    found = viewer.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": "abc", "new_password2": "abc"},
    )
    assert found.context["form"].errors
