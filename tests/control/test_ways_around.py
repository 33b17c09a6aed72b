"""Ways around what keeps people out and apart, each of which is closed."""

import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client
from knox.models import AuthToken

from pipelines import accounts
from pipelines.api import definitions
from pipelines.models import AuditRecord, Connection, Pipeline
from pipelines.searching import MOST_SEARCHED, MOST_WORDS
from tests.control.asking import Asker, client
from tests.control.test_api_errors import shape
from tests.factories import PASSWORD, ConnectionFactory, PipelineFactory, UserFactory
from tests.waiting import until
from tests.whole.admin_pages import listing, new_pipeline, page, person, posted

WRONG = {
    "Basic": "Basic " + b64encode(b"anna:wrong").decode(),
    "Token": "Token 0123456789abcdef",
}
#: Bodies that Django cannot read as a form.
BODIES = {
    "no boundary": ("multipart/form-data", b"x"),
    "a large file": (
        "multipart/form-data; boundary=X",
        b'--X\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        + b"x" * 3_000_000
        + b"\r\n--X--\r\n",
    ),
    "many fields": (
        "application/x-www-form-urlencoded",
        "&".join(f"f{number}=1" for number in range(1500)).encode(),
    ),
    "a large form": ("application/x-www-form-urlencoded", b"f=" + b"x" * 3_000_000),
    "another encoding": ("application/x-www-form-urlencoded; charset=utf-16", b"f=x"),
}


@pytest.fixture
def anna(db):
    return UserFactory(username="anna", groups=["viewer"])


def basic(name="anna", password=PASSWORD, *, address="192.0.2.1"):
    value = "Basic " + b64encode(f"{name}:{password}".encode()).decode()
    return client().get("/api/v1/pipelines", headers={"authorization": value}, REMOTE_ADDR=address)


# Guessing passwords


@pytest.mark.parametrize("scheme", WRONG)
@pytest.mark.parametrize("body", BODIES)
def test_a_failure_counts_whatever_is_sent_with_it(anna, settings, scheme, body):
    settings.SIGN_IN_FAILURES = 3
    kind, sent = BODIES[body]

    answers = [
        client().post("/api/v1/tokens", sent, kind, headers={"authorization": WRONG[scheme]})
        for _ in range(4)
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert AccessAttempt.objects.get().failures_since_start == 3
    assert AuditRecord.objects.filter(action="sign_in_failed").count() == 3


@pytest.mark.parametrize("body", ["no boundary", "another encoding"])
def test_a_body_that_cannot_be_read_is_no_fault_of_ours(db, body):
    kind, sent = BODIES[body]
    asker = Asker("editor")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(asker.user)
    strict.get("/admin/password_change/")

    answer = strict.post("/api/v1/pipelines", sent, kind)

    shape(answer, 415, "unsupported_media_type")


def test_all_of_an_ipv6_network_is_one_address(anna, settings):
    settings.SIGN_IN_FAILURES = 3
    for number in range(1, 4):
        basic(password="wrong", address=f"2001:db8:0:7::{number:x}")

    assert basic(address="2001:db8:0:7:ffff::1").status_code == 429
    assert basic(address="2001:db8:0:8::1").status_code == 200
    row = AccessAttempt.objects.values_list("ip_address", flat=True).get()
    assert row == "2001:db8:0:7::"
    addresses = AuditRecord.objects.filter(action="sign_in_failed")
    assert "2001:db8:0:7::2" in addresses.values_list("address", flat=True)


def test_ones_own_old_password_cannot_be_guessed(db, settings):
    settings.SIGN_IN_FAILURES = 3
    found = person("viewer", username="anna")

    def change(old):
        new = "another correct horse 8"
        form = {"old_password": old, "new_password1": new, "new_password2": new}
        return found.post("/admin/password_change/", form)

    assert [change("wrong").status_code for _ in range(3)] == [200, 200, 429]
    refused = change(PASSWORD)

    assert "too many failed attempts" in refused.content.decode()
    assert AuditRecord.objects.filter(action="sign_in_failed").count() == 3
    assert User.objects.get().check_password(PASSWORD)


# What the audit knows


def test_a_right_password_over_the_api_is_kept_once_an_hour_for_each_address(anna):
    for address in ("192.0.2.1", "192.0.2.1", "198.51.100.1"):
        assert basic(address=address).status_code == 200

    rows = AuditRecord.objects.filter(action="sign_in").order_by("id")
    found = [(row.user, row.via, row.address) for row in rows]
    assert found == [
        (anna, "api_basic", "192.0.2.1"),
        (anna, "api_basic", "198.51.100.1"),
    ]


def test_so_is_a_token(anna):
    token = accounts.make_token(anna, name="x", days=1)[1]
    for _ in range(2):
        client().get("/api/v1/pipelines", headers={"authorization": f"Token {token}"})

    row = AuditRecord.objects.get(action="sign_in")
    assert (row.user, row.via, row.token) == (anna, "api_token", token[: len(row.token)])


def test_a_superuser_made_on_the_command_line_is_kept(db, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", "--noinput", username="root", email="", verbosity=0)

    row = AuditRecord.objects.get(action="create")
    assert (row.object_name, row.via, row.user) == ("root", "command", None)
    assert row.details["changed"]["is_superuser"] == [None, True]
    assert User.objects.get().check_password(PASSWORD)


# More rights than one has


@pytest.fixture
def everything(db):
    group = Group.objects.create(name="everything")
    group.permissions.set(Permission.objects.all())
    return group


def change_user(browser, user, **changes):
    return browser.post(page(user), posted(browser, user, **changes))


def test_nobody_gives_a_group_with_more_rights_than_they_have(everything):
    root = person("administrator")
    form = root.get(page(root.user)).context["adminform"].form

    assert everything not in form.fields["groups"].queryset
    answer = change_user(root, root.user, groups=[everything.pk])

    assert "groups" in answer.context["adminform"].form.errors
    assert not everything.user_set.exists()


def test_a_superuser_gives_any(everything):
    root = person(None, is_superuser=True)
    bert = UserFactory()

    change_user(root, bert, groups=[everything.pk])

    assert everything.user_set.get() == bert


def test_who_may_change_users_does_not_change_those_with_more_rights(db):
    helpers = Group.objects.create(name="helpdesk")
    rights = Permission.objects.filter(codename__in=["view_user", "change_user"])
    helpers.permissions.set(rights)
    helper = person("helpdesk")
    boss = UserFactory(groups=["administrator"])
    token = accounts.make_token(boss, name="x", days=1)[0]

    change = {"groups": [Group.objects.get(name="administrator").pk], "username": "x"}
    assert helper.post(page(boss), change).status_code == 403
    password = f"/admin/auth/user/{boss.pk}/password/"
    assert helper.post(password, {"password1": "x", "password2": "x"}).status_code == 403
    assert helper.post(page(token, "delete"), {"post": "yes"}).status_code == 403
    assert AuthToken.objects.exists()
    answer = change_user(helper, helper.user, groups=change["groups"])
    assert "groups" in answer.context["adminform"].form.errors


def test_an_administrator_manages_everybody_else(db):
    root, other = person("administrator"), UserFactory(groups=["administrator"])
    token = accounts.make_token(other, name="x", days=1)[0]
    groups = [Group.objects.get(name="editor").pk]

    assert change_user(root, other, groups=groups).status_code == 302
    assert root.post(page(token, "delete"), {"post": "yes"}).status_code == 302

    assert [group.name for group in other.groups.all()] == ["editor"]
    assert not AuthToken.objects.exists()


def test_sessions_do_not_come_back_with_an_account(db):
    root, anna = person("administrator"), person("viewer", username="anna")
    kept = person("viewer", username="bert")

    for is_active in ("", "on"):
        change_user(root, anna.user, is_active=is_active)

    assert User.objects.get(username="anna").is_active
    assert anna.get("/admin/").status_code == 302
    assert kept.get("/admin/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_no_token_is_made_past_a_change_of_the_password():
    user = UserFactory(groups=["viewer"])

    def ask():
        try:
            return accounts.make_token(user, name="late", days=1)
        finally:
            connections.close_all()

    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            stored = User.objects.select_for_update().get(pk=user.pk)
            asked = pool.submit(ask)
            until(_somebody_waits)
            stored.set_password("another correct horse 8")
            stored.save()
        with pytest.raises(accounts.SignedOut):
            asked.result()
    assert not AuthToken.objects.exists()


def _somebody_waits():
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0] > 0


# Asking too much


def test_a_search_has_an_end(db):
    asker = Asker("viewer")
    for text in ("a " * (MOST_WORDS + 1), "a" * (MOST_SEARCHED + 1)):
        answer = asker.get("/pipelines", query_params={"search": text})
        assert "search" in shape(answer, 400, "invalid")["errors"]
    PipelineFactory(name="films", description=" ".join(map(str, range(MOST_WORDS - 1))))
    words = " ".join(["films", *map(str, range(MOST_WORDS - 1))])
    found = asker.get("/pipelines", query_params={"search": words}).json()
    assert [row["name"] for row in found] == ["films"]


@pytest.mark.parametrize("model", [Pipeline, Connection, AuthToken, User, AuditRecord])
def test_a_search_of_a_list_has_an_end_and_says_so(db, model):
    answer = person().get(listing(model), {"q": "a " * 1900})
    assert "Only 20 words and 200 characters are searched for." in answer.content.decode()


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (Connection, "secret__startswith=gAAAA"),
        (Connection, "secret__regex=("),
        (Connection, "target_schemas__0__regex=("),
        (Pipeline, "source_query__regex=("),
        (Pipeline, "created_at__year=99999999999"),
        (Pipeline, "name__unaccent=a"),
        (Pipeline, "key_columns__contains=x"),
        (AuthToken, "token_key__regex=("),
        (AuthToken, "digest__startswith=a"),
        (User, "auth_token_set__digest__startswith=a"),
        (User, "password__startswith=a"),
    ],
)
def test_a_list_is_narrowed_by_its_filters_alone(db, model, lookup):
    assert person().get(f"{listing(model)}?{lookup}").status_code == 400


def test_the_address_that_leads_to_other_pages_leads_nowhere(db):
    assert person().get("/admin/r/4/1/").status_code == 404
    assert Client().get("/admin/r/4/1/").status_code == 302


def test_storing_definitions_is_limited(db, settings):
    settings.LIMIT_CHECK = 2
    pipeline = PipelineFactory()
    editor = Asker("editor")
    path = f"/pipelines/{pipeline.pk}"

    def change(number):
        return editor.patch(path, {"source_query": f"SELECT {number} AS id, now() AS modified"})

    with mock.patch("pipelines.api.definitions.preflight.inspect") as asked:
        asked.return_value.warnings = ()
        assert [change(number).status_code for number in range(3)] == [200, 200, 429]
    assert editor.patch(path, {"description": "asks nobody"}).status_code == 200
    browser = Client()
    browser.force_login(editor.user)
    answer = browser.post(listing(Pipeline, "add"), new_pipeline())
    assert "2 times in a minute" in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_servers_look_at_one_definition_at_a_time():
    connection = ConnectionFactory()
    pipelines = [
        PipelineFactory.build(
            source_connection=connection, target_connection=connection, name=f"p{number}"
        )
        for number in range(3)
    ]
    editor = UserFactory()
    at_once, most = 0, 0
    counting = threading.Lock()

    def look(_definition):
        nonlocal at_once, most
        with counting:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.2)
        with counting:
            at_once -= 1
        return mock.Mock(warnings=())

    def ask(pipeline):
        try:
            return definitions._ask(pipeline, by=editor)
        finally:
            connections.close_all()

    with (
        mock.patch("pipelines.api.definitions.preflight.inspect", look),
        ThreadPoolExecutor() as pool,
    ):
        list(pool.map(ask, pipelines))
    assert most == 1


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_asking_to_stop_is_limited(db, settings, verb):
    settings.LIMIT_RUN = 2
    operator, path = Asker("operator"), f"/pipelines/{PipelineFactory().pk}/{verb}"
    assert [operator.post(path).status_code for _ in range(3)] == [409, 409, 429]


def test_making_tokens_is_limited(db, settings):
    settings.LIMIT_TOKENS = 2
    viewer = Asker("viewer")
    assert [viewer.post("/tokens", {}).status_code for _ in range(3)] == [201, 201, 429]
    browser = Client()
    browser.force_login(viewer.user)
    answer = browser.post(listing(AuthToken, "add"), {"name": "x", "days": "3"})
    assert "2 times in a minute" in answer.content.decode()


def test_a_body_in_chunks_is_refused_rather_than_passed_over(db):
    pipeline = PipelineFactory(description="before")
    asker = Asker("editor")
    answer = asker.ask(
        "PATCH",
        f"/pipelines/{pipeline.pk}",
        CONTENT_LENGTH="",
        headers={"transfer-encoding": "chunked"},
    )
    assert "Content-Length" in shape(answer, 411, "length_required")["detail"]
