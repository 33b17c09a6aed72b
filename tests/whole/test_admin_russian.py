"""The admin in Russian: every page is walked, and no English word is left on it."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from knox.models import AuthToken

from pipelines import installation
from pipelines.admin import cells
from pipelines.admin.pipeline_verbs import VERBS
from pipelines.choices import Trigger
from pipelines.definition import freeze
from pipelines.models import (
    Connection,
    Pipeline,
    PipelineRun,
    PipelineState,
    Reconciliation,
    RunEvent,
    RunLine,
    RunSample,
    Worker,
)
from pipelines.states import MOVES, PipelineStatus, RunStatus
from runner.preflight import address_of
from tests.factories import (
    PASSWORD,
    ConnectionFactory,
    PipelineFactory,
    ReconciliationFactory,
    RunFactory,
    UserFactory,
    WorkerFactory,
)
from tests.whole.admin_pages import (
    GROUPS,
    listing,
    new_connection,
    new_pipeline,
    page,
    person,
    posted,
    standing,
)
from tests.whole.every_page import DIFFERING

#: Latin words that Russian pages have too, and why.
ALLOWED = {
    # What the product and its neighbours are called.
    *("ETL", "PostgreSQL", "SQL", "API", "TLS", "Python", "JSON", "IP", "UTC", "cookie"),
    # The words of SQL, and of PostgreSQL's own settings and codes.
    *("SELECT", "NULL", "SQLSTATE", "WITH", "FORCE", "AS", "42P01", "PT10M"),
    *("minutes", "day", "id", "text", "jsonb", "int", "integer", "timestamp", "boolean"),
    # Values that are the same in the API, with their explanation in Russian beside them.
    *("full", "incremental", "auto", "swap", "merge", "replace", "fail", "include", "exclude"),
    *("disable", "prefer", "require", "verify", "ca"),
    *("stored", "environment", "file", "Docker", "Kubernetes"),
    *("count", "checksum", "rows", "off", "soft", "hard"),
    # A type that the API knows and nothing offers yet; keys; what Django's own Russian has.
    *("PYTHON", "esc", "ID", "Control", "Command", "Mac", "Single", "Sing", "On", "LDAP"),
    *("Ctrl", "Enter"),
    # Settings and commands that are typed as they stand.
    *("SECRET_FILES_DIR", "WAREHOUSE_URL", "ENCRYPTION_KEYS", "POST", "api", "v1", "tokens"),
    *("python", "manage.py", "runpipelines", "installation", "adopt", "new"),
    # Examples in the help texts.
    *("film_dim_full", "modified", "analytics.film_dim"),
    # The switch names each language in that language.
    *("English", "en", "ru"),
    # Names in the tests' own data.
    *("default", "shop", "analytics", "db.example.com", "reader", "host", "now", "table"),
    *("admin", "example.com", "UniqueViolation", "md5"),
}
NEW = "a long one that nobody guesses"
_WORD = re.compile(r"\b[A-Za-z][\w.]*[A-Za-z\d]")
#: Addresses, identifiers, moments, hidden passwords, and names that the factories count.
_NO_WORDS = re.compile(
    r"\S+@\S+|\b[\da-f]{8}-[\da-f-]{27}\b|\b\d{4}-\d\d-\d\dT[\d:.]+Z"
    r"|\b[\da-f]{32,}\b|\w+\*{4,}|\b(?:pipeline|user|connection)[_-]?\d+\b|\banalytics\.\w+"
)
_SAID = ("title", "aria-label", "placeholder", "alt", "data-confirm", "data-tooltip")


class _Text(HTMLParser):
    """What a page says: its text, and the attributes that are read out."""

    SILENT = {"script", "style", "code", "pre", "textarea", "svg", "template"}
    VOID = {"input", "br", "hr", "img", "meta", "link", "source", "col", "wbr"}

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.said += [given[name] for name in _SAID if name in given]
        if tag == "input" and given.get("type") in ("submit", "button"):
            self.said.append(given.get("value", ""))
        is_icon = "material-symbols" in given.get("class", "")
        if tag not in self.VOID:
            self._open.append((tag, tag in self.SILENT or is_icon))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not any(is_silent for _tag, is_silent in self._open):
            self.said.append(data)


def english(html: str, *names: str) -> list[str]:
    """Latin words on the page that nothing allows, with what is around them."""
    reader = _Text()
    reader.feed(html)
    text = " ".join(" ".join(reader.said).split())
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "")
    text = _NO_WORDS.sub("", text)
    return [
        f"{word[0]}: …{text[max(0, word.start() - 30) : word.end() + 30]}…"
        for word in _WORD.finditer(text)
        if word[0] not in ALLOWED
    ]


def russian(group: str | None = "administrator", **columns) -> Client:
    client = person(group, **columns)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "ru-RU,ru;q=0.9"
    return client


def seen(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path, follow=True)
    assert answer.status_code == status, path
    html = answer.content.decode()
    assert '<html lang="ru"' in html
    return html


@pytest.fixture
def full(db):
    """Something of everything."""
    now = timezone.now()
    worker = WorkerFactory(last_seen_at=now)
    WorkerFactory(last_seen_at=now - timedelta(days=3))
    asker = UserFactory(username="reader")
    for status in PipelineStatus.values:
        pipeline = standing(status, incremental=status != PipelineStatus.PAUSED)
        PipelineState.objects.create(
            pipeline=pipeline,
            last_processed_value="2026-01-01T00:00:00Z",
            last_processed_id="1",
            promise="Exact: a row is read when every older transaction has ended.",
        )
        for number, outcome in enumerate(RunStatus.values):
            if outcome == RunStatus.RUNNING and status != PipelineStatus.RUNNING:
                continue
            run = RunFactory(
                pipeline=pipeline,
                status=outcome,
                trigger=Trigger.values[number % len(Trigger.values)],
                started_at=now - timedelta(hours=number, minutes=7),
                finished_at=None if outcome == RunStatus.RUNNING else now,
                definition=freeze(pipeline),
                requested_by=asker,
                worker=worker,
                phase="load",
                publish="swap",
                resumed=True,
                promise="Rows up to 10 minutes older than the checkpoint are read again.",
            )
            if outcome == RunStatus.FAILED:
                _fail(run)
        if status == PipelineStatus.FAILED:
            _fail(RunFactory(pipeline=pipeline, status=RunStatus.FAILED, finished_at=now))
    return worker


def _fail(run: PipelineRun) -> None:
    sentence = (
        "A value does not fit its column (column “title”, row 3 of the batch). Cast the column in "
        "the query, or change the column's type in the target."
    )
    run.error_message = f"{sentence} Next try at 2026-11-23 05:40:11 UTC."
    run.error_class, run.sqlstate = "UniqueViolation", "42P01"
    run.save()
    for number, text in enumerate(("Reading from the beginning.", sentence)):
        RunLine.objects.create(run=run, number=number, at=run.finished_at, level="INFO", text=text)
        RunSample.objects.create(
            run=run, number=number, rows_read=number, rows_written=0, batches=number
        )
    for move in MOVES:
        RunEvent.objects.create(
            pipeline=run.pipeline,
            run=run,
            event=move.event,
            to_status=move.target,
            message=sentence,
            by=run.requested_by,
        )


# Every page.


@pytest.mark.parametrize("group", GROUPS)
def test_the_overview_of_a_newcomer_is_russian(db, group):
    client = russian(group)

    assert english(seen(client, "/admin/"), client.user.username) == []


def test_who_is_in_no_group_is_told_so_in_russian(db):
    client = russian(None)

    assert english(seen(client, "/admin/"), client.user.username) == []


def test_the_overview_with_everything_on_it_is_russian(full):
    client = russian()

    html = seen(client, "/admin/")

    assert english(html, client.user.username, "title") == []
    assert "Сбои</h2>" in html
    assert "Значение не помещается в свой столбец (столбец «title», строка 3 пакета)" in html


@pytest.mark.parametrize(
    "model", [Pipeline, PipelineRun, Connection, Worker, User, Group, AuthToken]
)
def test_lists_are_russian_empty_full_and_filtered(full, model):
    client = russian(is_superuser=True)
    AuthToken.objects.create(client.user)
    ConnectionFactory(name="shop")
    address = listing(model)

    for path in (address, f"{address}?q=nothing-like-it", f"{address}?q=1"):
        html = seen(client, path)
        keys = [token.token_key for token in AuthToken.objects.all()]
        assert english(html, client.user.username, "nothing-like-it", "title", *keys, *GROUPS) == []


@pytest.mark.parametrize("model", [Pipeline, PipelineRun, Reconciliation, Worker, AuthToken])
def test_lists_without_a_row_are_russian(db, model):
    client = russian()

    assert english(seen(client, listing(model)), client.user.username) == []


@pytest.mark.parametrize("model", [Pipeline, Connection, User, Group])
def test_forms_for_something_new_are_russian(db, model):
    client = russian(is_superuser=True)

    assert english(seen(client, listing(model, "add")), client.user.username, *GROUPS) == []


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("status", PipelineStatus.values)
def test_the_page_of_a_pipeline_is_russian(full, status, group):
    client = russian(group)
    pipeline = Pipeline.objects.get(status=status)

    for name in ("change", "live"):
        answer = client.get(page(pipeline, name))
        names = (client.user.username, "title")
        assert english(answer.content.decode(), *names) == []


@pytest.mark.parametrize("name", ["delete", "reset", "history"])
def test_what_is_asked_of_a_pipeline_is_russian(full, name):
    client = russian()
    pipeline = Pipeline.objects.get(status=PipelineStatus.IDLE)

    assert english(seen(client, page(pipeline, name)), client.user.username) == []


def test_a_history_with_entries_is_russian_whoever_made_them(db):
    pipeline = PipelineFactory(incremental=True)
    english_client = person(is_superuser=True)
    reader = UserFactory()
    english_client.post(page(pipeline, "disable"))
    english_client.post(page(pipeline), posted(english_client, pipeline, description="Описание"))
    english_client.post(listing(Connection, "add"), new_connection())
    english_client.post(page(reader), posted(english_client, reader, first_name="Ида"))
    client = russian()

    html = seen(client, page(pipeline, "history"))

    assert english(html, english_client.user.username, client.user.username) == []
    assert "Изменено: включён" in html
    assert "Изменено: описание" in html
    shop = Connection.objects.get(name="shop")
    assert "Создано" in seen(client, page(shop, "history"))
    html = seen(russian(is_superuser=True), page(reader, "history"))
    assert "Изменено Имя" in html


def test_deleting_many_asks_in_russian(full):
    client = russian()
    keys = [str(key) for key in Pipeline.objects.values_list("pk", flat=True)]

    answer = client.post(listing(Pipeline), {"action": "delete_selected", "_selected_action": keys})

    assert english(answer.content.decode(), client.user.username) == []


@pytest.mark.parametrize("group", GROUPS)
def test_the_pages_of_comparisons_are_russian(db, group):
    client = russian(group)
    worker = WorkerFactory()
    pipeline = PipelineFactory(key_columns=["id"])
    of_it = {"pipeline": pipeline, "worker": worker, "requested_by": client.user}
    rows = [
        ReconciliationFactory(**of_it),
        ReconciliationFactory(**of_it, **(DIFFERING | {"rows": [], "tolerances": {"id": 0.5}})),
        ReconciliationFactory(**of_it, level="count", status="WARNING", target_count=1),
        ReconciliationFactory(**of_it, level="count"),
        ReconciliationFactory(**of_it, level="checksum", status="WARNING", missing=None),
        ReconciliationFactory(**of_it, status="CANCELLED", source_count=None),
        ReconciliationFactory(**of_it, status="FAILED", error_code="invalid"),
        ReconciliationFactory(**of_it, status="REQUESTED", finished_at=None, source_count=None),
        *(
            ReconciliationFactory(**of_it, open=True, phase=phase, rows_of=9)
            for phase in ("", "counting", "summing", "looking at rows")
        ),
    ]
    said = (client.user.username, str(worker))

    for row in rows:
        assert english(seen(client, page(row)), *said) == []
    assert english(seen(client, page(pipeline)), *said) == []
    assert english(seen(client, listing(Reconciliation)), *said) == []


def test_the_question_of_a_comparison_is_russian(db):
    client = russian("operator")
    pipeline = PipelineFactory()
    wrong = {"level": "rows", "sample": "x", "tolerances": "="}

    assert english(seen(client, page(pipeline, "reconcile")), client.user.username, "price") == []
    html = client.post(page(pipeline, "reconcile"), wrong).content.decode()
    assert english(html, client.user.username, "price") == []


@pytest.mark.parametrize("status", RunStatus.values)
def test_the_page_of_a_run_is_russian(full, status):
    client = russian("viewer")
    run = PipelineRun.objects.filter(status=status).first()

    html = seen(client, page(run))

    assert english(html, client.user.username, "title") == []


def test_the_pages_of_connections_are_russian(full):
    client = russian()
    shop = ConnectionFactory(name="shop", host="127.0.0.1", port=1)
    PipelineFactory(source_connection=shop)
    built_in = Connection.objects.get(name="default")
    place = address_of(built_in)

    for row in (shop, built_in):
        for name in ("change", "history"):
            names = (client.user.username, place.host, place.dbname, place.user)
            assert english(seen(client, page(row, name)), *names) == []
    assert english(seen(client, page(shop, "delete")), client.user.username) == []


def test_connection_tests_answer_in_russian(full, source_url):
    client = russian()
    shop = ConnectionFactory(name="shop", host="127.0.0.1", port=1)
    built_in = Connection.objects.get(name="default")

    for row in (shop, built_in):
        html = client.post(page(row, "test"), follow=True).content.decode()
        role = re.search(r"роль «(\w+)»", html)
        names = (client.user.username, "warehouse", role[1] if role else "warehouse")
        assert english(html, *names, "pg_read_all_stats") == []


def test_workers_users_groups_and_tokens_have_russian_pages(full):
    client = russian(is_superuser=True)
    AuthToken.objects.create(client.user)
    token = AuthToken.objects.get()
    names = (client.user.username, token.token_key, token.digest, *GROUPS)

    for row in (Worker.objects.first(), client.user, token, *Group.objects.all()):
        assert english(seen(client, page(row)), *names) == []
        assert english(seen(client, page(row, "history")), *names) == []
    for row in (token, UserFactory(username="reader2", groups=["viewer"]), Group.objects.first()):
        assert english(seen(client, page(row, "delete")), *names, "reader2") == []
    password = reverse("admin:auth_user_password_change", args=[client.user.pk])
    assert english(seen(client, password), *names) == []


def test_groups_are_shown_in_russian_to_who_may_only_look(db):
    client = russian()
    group = Group.objects.get(name="editor")

    html = seen(client, page(group))

    assert english(html, client.user.username, group.name) == []
    assert "пайплайн: Можно запускать пайплайн" in html
    assert "редактор" in seen(client, listing(User))


def test_the_apps_own_pages_are_russian(full):
    client = russian(is_superuser=True)

    for app in ("pipelines", "auth", "knox"):
        path = reverse("admin:app_list", args=[app])
        assert english(seen(client, path), client.user.username) == []


def test_signing_in_and_out_and_the_password_are_russian(db):
    stranger = Client(headers={"accept-language": "ru"})
    client = russian()
    login = reverse("admin:login")

    assert english(seen(stranger, login)) == []
    wrong = stranger.post(login, {"username": "анна", "password": "нет"}).content.decode()
    assert english(wrong) == []
    assert english(seen(client, reverse("admin:password_change")), client.user.username) == []
    short = {"old_password": "нет", "new_password1": "123", "new_password2": "1"}
    answer = client.post(reverse("admin:password_change"), short).content.decode()
    assert english(answer, client.user.username) == []
    changed = {
        "old_password": PASSWORD,
        "new_password1": NEW,
        "new_password2": NEW,
    }
    answer = client.post(reverse("admin:password_change"), changed, follow=True).content.decode()
    assert english(answer, client.user.username) == []
    assert english(client.post(reverse("admin:logout")).content.decode()) == []


# What goes wrong.


def test_error_pages_are_russian(db, settings, monkeypatch):
    client = russian("viewer")
    client.raise_request_exception = False
    pipeline = PipelineFactory()

    assert english(seen(client, "/nowhere/", 404)) == []
    assert english(seen(client, listing(Connection, "add"), 403)) == []
    strict = Client(enforce_csrf_checks=True, headers={"accept-language": "ru"})
    refused = strict.post(reverse("set_language"), {"language": "ru"})
    assert refused.status_code == 403
    assert english(refused.content.decode()) == []
    bad = client.get("/admin/", headers={"host": "elsewhere.example.com"})
    assert bad.status_code == 400
    assert english(bad.content.decode()) == []
    monkeypatch.setattr("pipelines.admin.pipeline_page.warnings_for", lambda _row: 1 / 0)
    assert english(seen(client, page(pipeline), 500)) == []


def test_a_moved_installation_is_explained_in_the_readers_language(db, monkeypatch):
    def moved():
        place = installation.Place("1", 1)
        raise installation.Moved(recorded=place, found=place)

    monkeypatch.setattr(installation, "check", moved)
    monkeypatch.setattr("pipelines.middleware.KnownInstallation._known", False, raising=False)

    html = seen(Client(headers={"accept-language": "ru"}), "/admin/", 503)

    assert english(html) == []


@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(("name", "source_query", "target_table", "batch_size"), ""),
        {"target_table": "film_dim", "batch_size": "0", "max_shrink_percent": "100"},
        {"target_table": "public.film_dim", "key_columns": "id, id"},
        {"mode": "incremental", "late_margin": "soon"},
        {"type": "PYTHON", "mode": "incremental", "incremental_key": ""},
        {"target_table": f"analytics.{'x' * 64}"},
        {"source_query": "SELECT 1"},
        {"source_query": "SELECT nothing"},
        {"source_query": "DELETE FROM nothing"},
        {"source_query": "SELECT 1 AS id; SELECT 2"},
        {"source_query": "SELECT 1 AS id", "mode": "incremental", "incremental_key": "modified"},
        {"source_query": "SELECT 1 AS a, 2 AS a"},
    ],
)
def test_refused_forms_of_pipelines_are_russian(db, changes):
    client = russian()

    answer = client.post(listing(Pipeline, "add"), new_pipeline(**changes))

    assert answer.status_code == 200
    html = answer.content.decode()
    assert "errorlist" in html or "errornote" in html or "text-red" in html
    servers_own = ('column "nothing" does not exist', 'relation "nothing" does not exist')
    names = (client.user.username, "public", "soon", "nothing", "other_name", "name", "x" * 40)
    commands = ("VALUES", "TABLE", "PYTHON")
    assert english(html, *servers_own, *names, *commands) == []


@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(("name", "host", "port", "dbname", "user"), ""),
        {"name": "default", "host": "/tmp", "port": "0", "target_schemas": "pg_catalog"},
        {"name": "Shop", "host": "a,b", "target_schemas": "etl"},
        {"host": "a b", "target_schemas": "a,,b", "sslmode": "maybe"},
    ],
)
def test_refused_forms_of_connections_are_russian(db, changes):
    client = russian()

    html = client.post(listing(Connection, "add"), new_connection(**changes)).content.decode()

    assert english(html, client.user.username, "pg_catalog", "etl", "maybe") == []


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS if verb.form is None])
@pytest.mark.parametrize("status", PipelineStatus.values)
def test_what_the_verbs_answer_is_russian(db, status, verb):
    client = russian()
    pipeline = standing(status, incremental=True)

    answer = client.post(page(pipeline, verb), follow=True)

    assert english(answer.content.decode(), client.user.username) == []
    assert [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize(
    "action", [*(verb.name for verb in VERBS if verb.is_for_many), "delete_selected"]
)
def test_what_the_actions_answer_is_russian(full, action):
    client = russian()
    keys = [str(key) for key in Pipeline.objects.values_list("pk", flat=True)]

    asked = {"action": action, "_selected_action": keys, "post": "yes"}
    answer = client.post(listing(Pipeline), asked, follow=True)

    assert english(answer.content.decode(), client.user.username, "title") == []


def test_saving_says_in_russian_what_the_next_run_will_do(db, target):
    client = russian()
    values = {"mode": "incremental", "incremental_key": "modified"}

    answer = client.post(listing(Pipeline, "add"), new_pipeline(**values), follow=True)

    html = answer.content.decode()
    assert "первый запуск создаст её" in html
    assert "Поздние коммиты ловятся только повторным чтением" in html
    assert english(html, client.user.username, "film_dim", "pg_read_all_stats") == []


def test_a_viewer_without_rights_and_a_missing_row_are_told_so_in_russian(db):
    client = russian()
    pipeline = PipelineFactory()
    gone = page(pipeline)
    pipeline.delete()

    assert english(seen(client, gone), client.user.username) == []


# Words that depend on numbers and times.


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=1), "1 секунду назад"),
        (timedelta(seconds=22), "22 секунды назад"),
        (timedelta(minutes=1, seconds=5), "1 минуту назад"),
        (timedelta(minutes=5, seconds=5), "5 минут назад"),
        (timedelta(hours=3, seconds=5), "3 часа назад"),
        (timedelta(days=1, seconds=5), "1 день назад"),
        (timedelta(days=7, seconds=5), "1 неделю назад"),
        (timedelta(days=400), "1 год назад"),
        (timedelta(seconds=-300.5), "через 5 мин 0 с"),
    ],
)
def test_times_are_told_in_russian(ago, words):
    with translation.override("ru"):
        told = cells.how_long_ago(timezone.now() - ago)

    assert told.replace("\N{NO-BREAK SPACE}", " ") == words


def test_dates_and_numbers_are_written_as_in_russian():
    at = timezone.datetime(2026, 11, 23, 5, 40, 11, tzinfo=timezone.get_fixed_timezone(0))
    with translation.override("ru"):
        assert cells.exactly(at) == "23 ноября 2026 г., 05:40:11 UTC"
        assert cells.number(1234567) == "1\N{NO-BREAK SPACE}234\N{NO-BREAK SPACE}567"
        assert cells.lasting(1.5) == "1,5\N{NO-BREAK SPACE}с"


# The switch.


def test_the_switch_is_a_posted_form_with_a_token_on_every_page_and_at_the_login(db):
    for client, path in ((person("viewer"), "/admin/"), (Client(), reverse("admin:login"))):
        html = client.get(path).content.decode()
        forms = re.findall(r'<form[^>]*action="/i18n/setlang/"[^>]*>.*?</form>', html, re.DOTALL)
        assert forms
        assert all('method="post"' in form and "csrfmiddlewaretoken" in form for form in forms)
        assert "English" in "".join(forms)
        assert "Русский" in "".join(forms)


def test_what_was_chosen_is_kept_for_a_year_and_wins_over_the_browsers_language(db):
    client = person("viewer")

    answer = client.post(
        reverse("set_language"), {"language": "ru"}, headers={"referer": "http://testserver/admin/"}
    )

    cookie = answer.cookies[settings.LANGUAGE_COOKIE_NAME]
    assert answer.url == "http://testserver/admin/"
    assert cookie["max-age"] == 31_536_000
    assert cookie["samesite"] == "Lax"
    html = client.get("/admin/", headers={"accept-language": "en"}).content.decode()
    assert '<html lang="ru"' in html
    assert "Обзор" in html


def test_english_stays_what_who_asks_for_nothing_gets(db):
    html = person("viewer").get("/admin/").content.decode()

    assert '<html lang="en"' in html
    assert "Overview" in html


def test_the_api_answers_in_the_language_that_is_asked_for(db):
    pipeline = PipelineFactory()
    client = person("operator")
    path = f"/api/v1/pipelines/{pipeline.pk}/pause"

    plain = client.post(path, content_type="application/json")
    asked = client.post(path, content_type="application/json", headers={"accept-language": "ru"})

    assert plain.json()["detail"] == "There is nothing to pause: no run is requested or running."
    assert asked.json()["detail"] == "Приостанавливать нечего: запуск не запрошен и не идёт."
    assert plain.json()["code"] == asked.json()["code"]
