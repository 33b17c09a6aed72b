"""A metadata database that was restored or copied is refused until somebody says which it is."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client

from pipelines import installation
from pipelines.models import Installation

pytestmark = pytest.mark.django_db


@pytest.fixture
def moved() -> Callable[[], None]:
    """Make the metadata look as if it had come from another server."""

    def move() -> None:
        installation.check()
        Installation.objects.update(system_identifier="1")

    return move


def _fresh(client: Client) -> Client:
    """A client whose middleware has not asked yet, as in a process that just started."""
    client.handler.load_middleware()
    return client


def test_the_place_is_recorded_at_the_first_check_and_holds_at_the_next() -> None:
    Installation.objects.update(system_identifier="", database_oid=None)
    installation.check()
    row = Installation.objects.get()
    assert (row.system_identifier, row.database_oid) == installation.here()
    installation.check()


def test_another_server_is_noticed_and_the_sentence_names_both_ways_out(moved: Any) -> None:
    moved()
    with pytest.raises(installation.Moved, match=r"--adopt.*--new"):
        installation.check()


def test_another_database_of_the_same_server_is_noticed() -> None:
    installation.check()
    Installation.objects.update(database_oid=1)
    with pytest.raises(installation.Moved):
        installation.check()


def test_adopting_keeps_the_identity_that_targets_know(moved: Any) -> None:
    moved()
    before = Installation.identity()
    call_command("installation", "--adopt", stdout=StringIO())
    installation.check()
    assert Installation.identity() == before


def test_a_clone_gets_an_identity_of_its_own(moved: Any) -> None:
    moved()
    before = Installation.identity()
    call_command("installation", "--new", stdout=StringIO())
    installation.check()
    assert Installation.identity() != before


def test_the_command_without_an_answer_shows_what_is_the_matter(moved: Any) -> None:
    moved()
    with pytest.raises(CommandError, match="not the one it was"):
        call_command("installation", stdout=StringIO())


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/v1/pipelines", "application/json"), ("/admin/login/", "text/html")]
)
def test_the_site_answers_503_with_the_sentence(
    moved: Any, client: Client, path: str, kind: str
) -> None:
    moved()
    answer = _fresh(client).get(path)
    assert answer.status_code == 503
    assert answer["Content-Type"].startswith(kind)
    assert "installation --adopt" in answer.content.decode()


def test_the_health_check_says_so_in_its_own_words(moved: Any, client: Client) -> None:
    moved()
    answer = _fresh(client).get("/api/v1/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "error", "db": "ok", "version": settings.VERSION}


def test_the_site_serves_when_nothing_moved(client: Client) -> None:
    assert _fresh(client).get("/admin/login/").status_code == 200
