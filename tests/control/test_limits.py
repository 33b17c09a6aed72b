"""How often a user may ask, how much at a time, and one at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from pipelines import limits
from pipelines.busy import Busy, alone
from pipelines.models import Pipeline, Usage
from pipelines.permissions import VERBS
from runner.preflight import ConnectionReport, Rejected
from tests.control.asking import EQUAL, Asker
from tests.control.test_api_errors import shape
from tests.factories import ConnectionFactory, PipelineFactory, UserFactory
from tests.waiting import until
from tests.whole.admin_pages import listing, new_pipeline, page, person, said


@pytest.fixture(autouse=True)
def _few(settings):
    settings.LIMIT_RUN = settings.LIMIT_RECONCILE = settings.LIMIT_TEST = 2
    settings.LIMIT_PREVIEW = 2


@pytest.fixture
def pipeline(db):
    return PipelineFactory()


def refusals(user, times):
    found = []
    for _ in range(times):
        try:
            limits.spend(user, "run")
        except limits.LimitReached as reached:
            found.append(reached.wait)
    return found


def test_each_limit_is_of_a_verb_and_has_a_setting(settings):
    assert limits.LIMITS.keys() <= VERBS.keys() | {"check", "make token"}
    assert all(hasattr(settings, name) for name in limits.LIMITS.values())


def test_a_user_may_ask_so_often_in_a_minute(db):
    user = UserFactory()
    assert all(0 < wait <= 60 for wait in refusals(user, 5))
    assert len(refusals(user, 3)) == 3
    assert Usage.objects.get().count == 2
    assert refusals(UserFactory(), 2) == []


def test_after_a_minute_it_begins_again(db):
    user = UserFactory()
    assert len(refusals(user, 3)) == 1
    Usage.objects.update(since=timezone.now() - timedelta(seconds=61))
    assert len(refusals(user, 3)) == 1


def test_zero_is_without_limit(db, settings):
    settings.LIMIT_RUN = 0
    assert refusals(UserFactory(), 10) == []
    assert not Usage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_do_not_get_more_than_there_is(settings):
    settings.LIMIT_RUN = 5
    user = UserFactory()

    def ask(_number):
        try:
            return len(refusals(user, 2))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sum(pool.map(ask, range(8))) == 16 - 5


def test_over_the_api_it_is_429_with_the_time_to_wait(pipeline):
    asker = Asker("operator")
    path = f"/pipelines/{pipeline.pk}/run"
    assert [asker.post(path).status_code for _ in range(2)] == [202, 202]
    answer = asker.post(path)
    assert "2 times in a minute" in shape(answer, 429, "throttled")["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert asker.get("/pipelines").status_code == 200
    assert Asker("operator").post(path).status_code == 202


def test_who_may_not_ask_uses_nothing_up(pipeline):
    Asker("viewer").post(f"/pipelines/{pipeline.pk}/run")
    assert not Usage.objects.exists()


@pytest.mark.parametrize(
    ("path", "group"),
    [("/pipelines/{p}/reconcile", "operator"), ("/connections/{c}/test", "editor")],
)
def test_comparing_and_testing_are_limited_too(pipeline, path, group):
    report = ConnectionReport(ok=True, sentence="Connected.")
    path = path.format(p=pipeline.pk, c="default")
    asker = Asker(group)
    with (
        mock.patch("runner.reconcile.compare", return_value=EQUAL),
        mock.patch("runner.preflight.test_connection", return_value=report),
    ):
        assert [asker.post(path).status_code for _ in range(3)] == [200, 200, 429]


def test_in_the_admin_it_is_a_sentence(pipeline):
    client = person("operator")
    for _ in range(2):
        client.post(page(pipeline, "run"))
    answer = client.post(page(pipeline, "run"), follow=True)
    assert said(answer)[-1].startswith("This can be asked 2 times in a minute.")


def test_many_at_once_count_each(pipeline):
    rows = [PipelineFactory() for _ in range(3)]
    body = {"action": "run", "_selected_action": [row.pk for row in rows]}
    answer = person("operator").post(listing(type(pipeline)), body, follow=True)
    assert [sentence[:30] for sentence in said(answer)] == [
        "Runs of 2 pipelines are reques",
        f"“{rows[2]}”: This can be asked 2 times"[:30],
    ]


def test_admin_and_api_count_together(pipeline):
    client = person("operator")
    asker = Asker(user=client.user)
    client.post(page(pipeline, "run"))
    assert asker.post(f"/pipelines/{pipeline.pk}/run").status_code == 202
    assert asker.post(f"/pipelines/{pipeline.pk}/run").status_code == 429


def test_what_a_user_used_up_goes_with_them(db):
    user = UserFactory()
    limits.spend(user, "run")
    User.objects.all().delete()
    assert not Usage.objects.exists()


# One at a time


def busy_locks():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return cursor.fetchone()[0]


def test_a_connection_is_held_by_one_at_a_time(db):
    one, other = ConnectionFactory(), ConnectionFactory()
    with alone(one, one):
        assert busy_locks() == 1
        with pytest.raises(Busy, match="is busy"), alone(other, one):
            pass
        with alone(other):
            assert busy_locks() == 2
    until(lambda: busy_locks() == 0, what="the locks stayed")


def test_an_error_frees_it(db):
    one = ConnectionFactory()
    with pytest.raises(ZeroDivisionError), alone(one):
        raise ZeroDivisionError
    until(lambda: busy_locks() == 0, what="the locks stayed")


def test_no_transaction_is_open_meanwhile(db):
    with alone(ConnectionFactory()), connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity JOIN pg_locks USING (pid)"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        assert cursor.fetchall() == [("idle",)]


@pytest.mark.django_db(transaction=True)
def test_a_second_comparison_is_503_while_the_first_one_goes_on():
    pipeline = PipelineFactory()
    path = f"/pipelines/{pipeline.pk}/reconcile"
    began, ends = threading.Event(), threading.Event()

    def slowly(_request, **_watching):
        began.set()
        assert ends.wait(30)
        return EQUAL

    def first():
        try:
            return Asker("operator").post(path)
        finally:
            connections.close_all()

    with mock.patch("runner.reconcile.compare", slowly), ThreadPoolExecutor() as pool:
        answer = pool.submit(first)
        assert began.wait(30)
        second = Asker("operator").post(path)
        third = person("operator").post(page(pipeline, "reconcile"), {"level": "count"})
        ends.set()
        assert answer.result().status_code == 200
    assert "“default” is busy" in shape(second, 503, "connection_busy")["detail"]
    assert int(second.headers["Retry-After"]) > 0
    assert "“default” is busy" in third.content.decode()


# How much at a time


def test_a_body_that_is_too_large_is_413(db):
    shape(Asker().post("/pipelines", b'{"name": "' + b"x" * 3_000_000 + b'"}'), 413, "too_large")


def test_a_body_with_too_many_fields_is_refused_in_one_sentence(db):
    answer = Asker().post("/pipelines", {f"field{number}": 1 for number in range(1001)})
    body = shape(answer, 400, "parse_error")
    assert "at most 100 fields" in body["detail"]


def test_too_many_parameters_are_400(db):
    query = "&".join(f"p{number}=1" for number in range(1001))
    shape(Asker().get(f"/pipelines?{query}"), 400, "bad_request")


def test_a_query_that_is_too_long_is_refused(db):
    body = {"name": "n", "target_table": "analytics.t", "source_query": "x" * 100_001}
    assert "source_query" in shape(Asker().post("/pipelines", body), 400, "invalid")["errors"]


@pytest.mark.parametrize("path", ["/pipelines?limit=1001", "/pipelines/{p}/runs?limit=501"])
def test_a_page_has_an_end(pipeline, path):
    answer = Asker().get(path.format(p=pipeline.pk))
    assert "limit" in shape(answer, 400, "invalid")["errors"]


@pytest.mark.parametrize(
    ("path", "statuses"), [("/admin/login/", {400, 413}), ("/api/v1/pipelines", {401})]
)
def test_nobody_uploads_a_file(db, path, statuses):
    form = {"file": SimpleUploadedFile("big.bin", b"x" * 3_000_000)}
    headers = {"authorization": "Token 0"}
    stranger = Client(enforce_csrf_checks=True)
    stranger.get("/admin/login/")
    with mock.patch("django.core.files.uploadhandler.TemporaryUploadedFile") as stored:
        answer = stranger.post(path, form, headers=headers)
    assert answer.status_code in statuses
    assert not stored.called


# Looking at a definition

NOT_GOOD = Rejected({"source_query": ["It does not exist there."]})


@contextmanager
def looking(answer=NOT_GOOD):
    """The servers answer both questions with this."""
    with (
        mock.patch("runner.preflight.preview", side_effect=answer),
        mock.patch("runner.preflight.validate", side_effect=answer),
    ):
        yield


def look(client, button, **changes):
    answer = client.post(
        listing(Pipeline, button), new_pipeline(**changes), headers={"HX-Request": "true"}
    )
    assert answer.status_code == 200
    return answer.content.decode()


def test_validate_and_preview_are_limited_together_with_the_api(pipeline):
    client = person("editor")
    api = Asker(user=client.user)
    with looking():
        assert api.post("/preview", {"pipeline": str(pipeline.pk)}).status_code == 400
        assert "It does not exist there." in look(client, "validate")
        for button in ("validate", "preview"):
            shown = look(client, button)
            assert "This can be asked 2 times in a minute." in shown
            assert "not asked" in shown
            assert "It does not exist there." not in shown
        shape(api.post("/preview", {"pipeline": str(pipeline.pk)}), 429, "throttled")


def test_who_may_not_preview_uses_nothing_up(pipeline):
    with looking():
        person("viewer").post(listing(Pipeline, "preview"), new_pipeline())
    assert not Usage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_second_preview_waits_for_nobody_while_the_first_one_goes_on():
    pipeline = PipelineFactory()
    began, ends = threading.Event(), threading.Event()

    def slowly(_definition, **_options):
        began.set()
        assert ends.wait(30)
        raise NOT_GOOD

    def first():
        try:
            return Asker("editor").post("/preview", {"pipeline": str(pipeline.pk)})
        finally:
            connections.close_all()

    with looking(slowly), ThreadPoolExecutor() as pool:
        answer = pool.submit(first)
        assert began.wait(30)
        again = Asker("editor").post("/preview", {"pipeline": str(pipeline.pk)})
        compared = Asker("operator").post(f"/pipelines/{pipeline.pk}/reconcile")
        shown = look(person("editor"), "preview")
        ends.set()
        assert answer.result().status_code == 400
    for busy in (again, compared):
        assert "“default” is busy" in shape(busy, 503, "connection_busy")["detail"]
    assert "“default” is busy" in shown
