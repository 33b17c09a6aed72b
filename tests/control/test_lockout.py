"""Failing to sign in too often: at the form, with a password over the API, with wrong tokens."""

import re
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone
from knox.models import AuthToken

from pipelines import lockout, retention
from pipelines.choices import AuditAction
from pipelines.models import AuditRecord
from tests.control.asking import client
from tests.control.test_api_errors import shape
from tests.factories import PASSWORD, AttemptFactory, UserFactory
from tests.whole.admin_pages import page, person, said

HOME, AWAY = "192.0.2.1", "198.51.100.1"


@pytest.fixture(autouse=True)
def _limit(settings):
    settings.SIGN_IN_FAILURES = 3


@pytest.fixture
def anna(db):
    return UserFactory(username="anna", groups=["viewer"])


def sign_in(name="anna", password="wrong", *, address=HOME, agent="browser", **headers):
    return client().post(
        "/admin/login/",
        {"username": name, "password": password},
        REMOTE_ADDR=address,
        headers={"user-agent": agent, **headers},
    )


def basic(name="anna", password="wrong", *, address=HOME, method="get", **options):
    value = "Basic " + b64encode(f"{name}:{password}".encode()).decode()
    ask = getattr(client(), method)
    return ask(
        "/api/v1/pipelines", headers={"authorization": value}, REMOTE_ADDR=address, **options
    )


def token(value, *, address=HOME):
    return client().get(
        "/api/v1/pipelines", headers={"authorization": f"Token {value}"}, REMOTE_ADDR=address
    )


def is_in(answer):
    return answer.status_code == 302


def fail(times, name="anna", **options):
    return [sign_in(name, **options) for _ in range(times)][-1]


def test_a_right_password_signs_in_after_a_few_wrong_ones(anna):
    fail(2)
    assert is_in(sign_in(password=PASSWORD))
    assert not AccessAttempt.objects.exists()
    fail(2)
    assert is_in(sign_in(password=PASSWORD))


def test_too_many_wrong_ones_lock_out_and_the_page_says_so(anna):
    answer = fail(3)
    assert answer.status_code == 429
    assert "too many failed attempts" in answer.content.decode()
    assert "in 15 minutes" in answer.content.decode()
    assert 890 <= int(answer.headers["Retry-After"]) <= 900


def test_the_right_password_is_refused_too_while_it_lasts(anna):
    fail(3)
    assert sign_in(password=PASSWORD).status_code == 429
    shape(basic(password=PASSWORD), 429, "too_many_attempts")


def test_a_name_that_nobody_has_is_answered_just_like_one_that_somebody_has(anna):
    pages = {"anna": [], "hanna": []}
    for name, answers in pages.items():
        for _ in range(4):
            answer = sign_in(name, address=HOME if name == "anna" else AWAY)
            html = re.sub(r'csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())
            answers.append((answer.status_code, html.replace(name, "…")))
    assert pages["anna"] == pages["hanna"]


def test_a_password_over_the_api_is_counted_with_those_of_the_form(anna):
    fail(1)
    shape(basic(), 401, "authentication_failed")
    answer = basic()
    assert "too many failed attempts" in shape(answer, 429, "too_many_attempts")["detail"]
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    assert sign_in(password=PASSWORD).status_code == 429


def test_a_right_password_over_the_api_forgets_the_wrong_ones(anna):
    for _ in range(2):
        fail(2)
        assert basic(password=PASSWORD).status_code == 200


def test_a_body_is_not_read_before_one_is_signed_in(anna):
    answer = basic(method="post", data=b"{not json", content_type="application/json")
    shape(answer, 401, "authentication_failed")


@pytest.mark.parametrize("name", ["anna\0", "a" * 151, "a" * 100_000])
def test_a_name_that_nobody_can_have_is_a_wrong_one(anna, name):
    shape(basic(name), 401, "authentication_failed")


def test_others_sign_in_from_there_and_the_locked_one_from_elsewhere(anna):
    UserFactory(username="bert")
    fail(3)
    assert is_in(sign_in("bert", PASSWORD))
    assert is_in(sign_in(password=PASSWORD, address=AWAY))


def test_another_browser_does_not_help(anna):
    for number in range(3):
        sign_in(agent=f"browser {number}")
    assert sign_in(password=PASSWORD, agent="another").status_code == 429


def test_an_address_that_tries_many_names_is_locked_out(anna):
    for number in range(3 * lockout.WIDER):
        sign_in(f"name{number}")
    assert sign_in(password=PASSWORD).status_code == 429
    assert is_in(sign_in(password=PASSWORD, address=AWAY))


def test_a_name_that_is_tried_from_many_addresses_is_locked_out(anna):
    for number in range(3 * lockout.WIDER):
        sign_in(address=f"198.51.100.{number}")
    assert sign_in(password=PASSWORD).status_code == 429


def test_one_attacker_cannot_lock_a_name_for_everybody(anna):
    fail(3 * lockout.WIDER)
    assert is_in(sign_in(password=PASSWORD, address=AWAY))


def test_an_account_of_ones_own_wipes_out_nothing_of_what_was_tried_on_others(anna):
    UserFactory(username="mallory")
    for _ in range(2):
        sign_in("anna")
        assert is_in(sign_in("mallory", PASSWORD))
    assert fail(1).status_code == 429


def test_a_lock_out_ends_by_itself_and_trying_on_does_not_prolong_it(anna):
    fail(3)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    answer = fail(5)
    assert int(answer.headers["Retry-After"]) <= 60
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))
    assert is_in(sign_in(password=PASSWORD))


def test_what_does_not_count_any_more_is_pruned(db):
    kept = AttemptFactory()
    AttemptFactory()
    old = timezone.now() - timedelta(minutes=16)
    AccessAttempt.objects.exclude(pk=kept.pk).update(attempt_time=old)
    retention.prune_audit()
    assert list(AccessAttempt.objects.all()) == [kept]


def test_no_password_is_kept_of_what_was_tried(anna):
    client().post(
        "/admin/login/?next=/admin/",
        {"username": "anna", "password": "Sesame", "csrfmiddlewaretoken": "abc123"},
    )
    assert "Sesame" not in str(AccessAttempt.objects.values().get())
    assert "abc123" not in str(AccessAttempt.objects.values().get())


@pytest.mark.django_db(transaction=True)
def test_eight_guesses_at_once_are_all_counted():
    UserFactory(username="anna")

    def guess(_number):
        try:
            return sign_in().status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=8) as pool:
        codes = list(pool.map(guess, range(8)))
    assert set(codes) <= {200, 429}
    assert AccessAttempt.objects.get().failures_since_start >= 3
    assert sign_in(password=PASSWORD).status_code == 429


# Tokens


def test_wrong_tokens_are_limited_and_right_ones_always_taken(anna):
    _row, right = AuthToken.objects.create(anna)
    for _ in range(2):
        shape(token("0" * 64), 401, "authentication_failed")
    shape(token("0" * 64), 429, "too_many_attempts")
    assert int(token("1" * 64).headers["Retry-After"]) > 0
    assert token(right).status_code == 200
    shape(token("0" * 64, address=AWAY), 401, "authentication_failed")


def test_a_token_in_an_address_is_none(anna):
    right = AuthToken.objects.create(anna)[1]
    shape(client().get(f"/api/v1/pipelines?token={right}"), 401, "not_authenticated")


def test_wrong_tokens_lock_nobody_out_of_the_form(anna):
    for _ in range(20):
        token("0" * 64)
    assert is_in(sign_in(password=PASSWORD))


# Which address counts


def test_a_header_that_the_client_wrote_says_nothing(anna):
    for number in range(3):
        sign_in(**{"x-forwarded-for": f"203.0.113.{number}"})
    assert sign_in(password=PASSWORD).status_code == 429


def test_behind_a_proxy_its_word_counts_and_not_the_clients(anna, settings):
    settings.TRUSTED_PROXIES = 1
    for number in range(3):
        sign_in(**{"x-forwarded-for": f"203.0.113.{number}, {AWAY}"})
    assert sign_in(password=PASSWORD, **{"x-forwarded-for": AWAY}).status_code == 429
    assert is_in(sign_in(password=PASSWORD, **{"x-forwarded-for": "203.0.113.1"}))


# Ending it


def test_an_administrator_ends_a_lock_out(anna):
    fail(3)
    attempt = AccessAttempt.objects.get()
    answer = person().post(page(attempt, "unlock"), follow=True)
    assert said(answer) == ["“anna” may try to sign in from 192.0.2.1 again."]
    assert is_in(sign_in(password=PASSWORD))
    assert AuditRecord.objects.filter(action=AuditAction.UNLOCK, object_name="anna").exists()


def test_ending_it_frees_a_name_that_is_locked_everywhere(anna):
    for number in range(3 * lockout.WIDER):
        sign_in(address=f"198.51.100.{number}")
    lockout.unlock("anna", "198.51.100.1", by=None)
    assert is_in(sign_in(password=PASSWORD))


def test_the_list_says_who_is_locked_out(anna):
    fail(3)
    fail(1, "bert")
    html = person().get("/admin/axes/accessattempt/").content.decode()
    assert html.count(">locked out<") == 1
    assert html.count(">not locked<") == 1


# The audit of it


def test_signing_in_and_out_and_failing_is_audited(anna):
    browser = client()
    fail(1)
    browser.post("/admin/login/", {"username": "anna", "password": PASSWORD}, REMOTE_ADDR=HOME)
    browser.post("/admin/logout/", REMOTE_ADDR=HOME)
    records = AuditRecord.objects.order_by("id").values_list(
        "action", "user", "user_name", "address", "via"
    )
    assert list(records) == [
        (AuditAction.SIGN_IN_FAILED, None, "anna", HOME, "admin"),
        (AuditAction.SIGN_IN, anna.pk, "anna", HOME, "admin"),
        (AuditAction.SIGN_OUT, anna.pk, "anna", HOME, "admin"),
    ]


def test_a_lock_out_is_audited_once_and_what_is_refused_during_it_is_not(anna):
    fail(30)
    for _ in range(30):
        token("0" * 64)
    actions = list(AuditRecord.objects.order_by("id").values_list("action", flat=True))
    once = [AuditAction.SIGN_IN_FAILED] * 3 + [AuditAction.LOCK_OUT]
    assert actions == once * 2


def test_who_is_deactivated_cannot_sign_in(anna):
    User.objects.update(is_active=False)
    assert sign_in(password=PASSWORD).status_code == 200
    shape(basic(password=PASSWORD), 401, "authentication_failed")
