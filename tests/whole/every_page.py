"""Every page of the admin, found by walking its addresses and the links on its pages, so that a
page that is added is looked at without a word here; and rows of every kind to show on them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import NoReverseMatch, Resolver404, URLPattern, URLResolver, resolve, reverse
from knox.models import AuthToken

from pipelines.models import Connection
from pipelines.states import PipelineStatus, RunStatus
from tests.factories import PipelineFactory, ReconciliationFactory, RunFactory, WorkerFactory
from tests.whole.admin_pages import standing

#: Pages of our rows differ by how the row stands; of any other page one is like the next.
_MOST_ROWS = 8
_MOST_ALIKE = 1


def rows_of_every_kind(user: Any, target: Any, work_once: Callable[[], bool | None]) -> None:
    """Pipelines that ran well, badly, by increments, that run now, wait and are disabled."""
    target.execute("CREATE SCHEMA IF NOT EXISTS analytics")
    queries = {
        "good": "SELECT n AS id, 'Film ' || n AS title FROM generate_series(1, 42) AS n",
        "bad": "SELECT 1/0 AS id",
        "more": "SELECT n AS id FROM generate_series(1, 7) AS n",
    }
    for name, query in queries.items():
        by_increments = {"mode": "incremental", "incremental_key": "id"} if name == "more" else {}
        PipelineFactory(
            name=name,
            description="What it is for",
            source_query=query,
            target_table=f"analytics.{name}",
            key_columns=["id"],
            status=PipelineStatus.RUN_REQUESTED,
            **by_increments,
        )
        assert work_once() is not None
    worker = WorkerFactory()
    running = standing(PipelineStatus.RUNNING, name="running", worker=worker)
    RunFactory(pipeline=running, status=RunStatus.RUNNING, rows_read=12_345, worker=worker)
    standing(PipelineStatus.RUN_REQUESTED, name="waiting")
    standing(PipelineStatus.IDLE, name="disabled", enabled=False)
    _comparisons(worker)
    Connection.objects.create(name="shop", host="db.example.com", dbname="shop", user="reader")
    AuthToken.objects.create(user=user)


def _comparisons(worker: Any) -> None:
    """Comparisons that found everything that can be found, that go on, and that have no answer."""
    films = PipelineFactory(name="films", key_columns=["id"])
    of_films: dict[str, Any] = {"pipeline": films, "worker": worker}
    ReconciliationFactory(**of_films)
    ReconciliationFactory(
        **of_films, level="count", status="WARNING", target_count=1, missing=None, notes=["A note."]
    )
    ReconciliationFactory(
        **of_films, status="FAILED", source_count=None, missing=None, error_message="Why not."
    )
    ReconciliationFactory(**of_films, open=True, phase="summing", rows_done=3, rows_of=9)
    ReconciliationFactory(**of_films, **DIFFERING)


#: What a comparison finds where rows are missing, extra and different, in three ranges of keys.
DIFFERING: dict[str, Any] = {
    "status": "WARNING",
    "missing": 1,
    "extra": 1,
    "different": 2,
    "waiting": 4,
    "ranges": [
        {
            **{"low": low, "high": high, "source": 2, "target": 2, "missing": missing},
            **{"extra": extra, "different": different, "differs": bool(missing + extra)},
        }
        for low, high, missing, extra, different in (
            (None, "10", 0, 0, 0),
            ("10", "20", 1, 0, 2),
            ("20", None, 0, 1, 0),
        )
    ],
    "rows": [
        {
            "kind": "missing",
            "key": ["11"],
            "changes": [
                {"column": "id", "source": "11", "target": None},
                {"column": "title", "source": "Alien", "target": None},
            ],
        },
        {
            "kind": "extra",
            "key": ["21"],
            "changes": [
                {"column": "id", "source": None, "target": "21"},
                {"column": "title", "source": None, "target": "Gone"},
            ],
        },
        {
            "kind": "different",
            "key": ["9"],
            "changes": [
                {"column": "title", "source": "Alien 2", "target": "Alien 3"},
                {"column": "note", "source": None, "target": ""},
            ],
        },
    ],
}


def pages(client: Client) -> list[str]:
    """The address of each page that this person can open, without those that are fragments."""
    found, alike = [], Counter[str]()
    asked, waiting = set[str](), list(_addresses())
    while waiting:
        path = waiting.pop(0)
        if path in asked or not path.startswith("/admin/"):
            continue
        asked.add(path)
        name = _name(path)
        is_ours = name.startswith("pipelines_") and name.endswith("_change")
        if alike[name] >= (_MOST_ROWS if is_ours else _MOST_ALIKE):
            continue
        answer = client.get(path)
        if answer.status_code != 200 or not is_page(answer):
            continue
        alike[name] += 1
        found.append(path)
        links = Page.read(answer.content.decode()).links
        waiting += [urlsplit(urljoin(path, link)).path for link in links]
    return [*found, "/admin/pipelines/pipeline/?q=nothing-like-this"]


def is_page(answer: Any) -> bool:
    """Whether the answer is a whole HTML page."""
    return answer["Content-Type"].startswith("text/html") and b"<html" in answer.content


class Page(HTMLParser):
    """What tests want to know of a page's HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        #: Scripts in the page itself, and attributes that are scripts.
        self.inline: list[str] = []

    @classmethod
    def read(cls, html: str) -> "Page":
        """Read it to its end."""
        page = cls()
        page.feed(html)
        page.close()
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        given = dict(attrs)
        if tag == "a" and (link := given.get("href")):
            self.links.append(link)
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline.append(self.get_starttag_text() or "")
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.inline.append(self.get_starttag_text() or "")


def _name(path: str) -> str:
    try:
        found = resolve(urlsplit(path).path)
    except Resolver404:
        return path
    return found.url_name or path


def _addresses() -> Iterator[str]:
    by_prefix = {
        f"{model._meta.app_label}_{model._meta.model_name}_": model
        for model in admin.site._registry
    }
    for pattern in _patterns(admin.site.get_urls()):
        name = pattern.name or ""
        model = next((by_prefix[prefix] for prefix in by_prefix if name.startswith(prefix)), None)
        for arguments in _arguments(pattern.pattern.regex.groups, model):
            try:
                yield reverse(f"admin:{name}", args=arguments)
            except NoReverseMatch:
                continue


def _patterns(found: list[Any]) -> Iterator[URLPattern]:
    for pattern in found:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        elif pattern.name:
            yield pattern


def _arguments(groups: int, model: type[models.Model] | None) -> Iterator[tuple[Any, ...]]:
    """What stands in the address: nothing, a row, or a row and a version of it."""
    if groups == 0:
        yield ()
    if model is None or groups == 0:
        return
    history = getattr(model._meta, "simple_history_manager_attribute", None)
    for row in model._default_manager.order_by("pk")[:_MOST_ROWS]:
        if groups == 1:
            yield (row.pk,)
        elif groups == 2 and history:
            yield from ((row.pk, kept.pk) for kept in getattr(row, history).all()[:_MOST_ALIKE])
