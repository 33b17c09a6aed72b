"""Users, groups and API tokens in the admin: no way to more rights than one has."""

import pytest
from django.contrib.auth.models import Group, User
from knox.models import AuthToken

from tests.factories import UserFactory
from tests.whole.admin_pages import errors, listing, page, person, posted, said

PASSWORD = "correct horse battery staple 7"


def new_user(**changes):
    return {
        "username": "anna",
        "usable_password": "true",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "is_staff": "on",
        "groups": [Group.objects.get(name="operator").pk],
        **changes,
    }


def test_an_administrator_adds_a_user_with_a_group(db):
    answer = person().post(listing(User, "add"), new_user())

    anna = User.objects.get(username="anna")
    assert answer.url == page(anna)
    assert anna.check_password(PASSWORD)
    assert anna.has_perm("pipelines.run_pipeline")
    assert (anna.is_staff, anna.is_superuser) == (True, False)


def test_a_new_user_is_meant_to_sign_in_here(db):
    form = person().get(listing(User, "add")).context["adminform"].form

    assert form["is_staff"].value() is True


def test_wrong_input_has_its_message_at_the_field(db):
    found = errors(person().post(listing(User, "add"), new_user(username="", password2="other")))

    assert set(found) == {"username", "password2"}


def test_an_administrator_cannot_make_a_superuser(db):
    client, anna = person(), UserFactory()

    client.post(listing(User, "add"), new_user(username="boss", is_superuser="on"))
    client.post(page(anna), posted(client, anna, is_superuser="on", user_permissions=["1"]))

    assert not User.objects.filter(is_superuser=True).exists()
    assert not anna.user_permissions.exists()


@pytest.mark.parametrize("path", ["change", "password", "delete"])
def test_an_administrator_cannot_touch_a_superuser(db, path):
    client, boss = person(), UserFactory(is_superuser=True)
    address = f"/admin/auth/user/{boss.pk}/{path}/"
    password = boss.password

    answer = client.post(
        address, {"username": "me", "password1": PASSWORD, "password2": PASSWORD, "post": "yes"}
    )

    boss.refresh_from_db()
    assert answer.status_code == 403
    assert boss.password == password


def test_a_superuser_makes_another(db):
    client, anna = person(None, is_superuser=True), UserFactory()

    client.post(page(anna), posted(client, anna, is_superuser="on"))

    anna.refresh_from_db()
    assert anna.is_superuser


def test_nobody_deletes_themselves(db):
    client = person()

    assert client.post(page(client.user, "delete"), {"post": "yes"}).status_code == 403


def test_a_user_with_tokens_and_a_history_can_be_deleted(db):
    anna = UserFactory()
    AuthToken.objects.create(anna)

    answer = person().post(page(anna, "delete"), {"post": "yes"}, follow=True)

    assert "was deleted successfully" in said(answer)[0]
    assert not User.objects.filter(pk=anna.pk).exists()


def test_the_password_of_a_user_can_be_changed(db):
    client, anna = person(), UserFactory()

    client.post(
        f"/admin/auth/user/{anna.pk}/password/",
        {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"},
    )

    anna.refresh_from_db()
    assert anna.check_password(PASSWORD)


def test_the_list_shows_groups(db):
    UserFactory(username="anna", groups=["viewer", "operator"])

    html = person().get(listing(User)).content.decode()

    assert "operator, viewer" in html or "viewer, operator" in html


def test_a_token_is_taken_back_and_never_shown_whole(db):
    row, token = AuthToken.objects.create(UserFactory(username="anna"))
    client = person()

    html = client.get(listing(AuthToken)).content.decode() + client.get(page(row)).content.decode()
    client.post(page(row, "delete"), {"post": "yes"})

    assert row.token_key in html
    assert token not in html
    assert not AuthToken.objects.exists()


def test_whoever_signs_in_lands_on_the_overview(client, db):
    UserFactory(username="anna", groups=["viewer"])

    answer = client.post(
        "/admin/login/", {"username": "anna", "password": "correct horse battery staple"}
    )

    assert answer.url == "/admin/"
