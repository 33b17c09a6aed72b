"""What a server says is shown as text: one line, no control characters, bounded, never markup."""

import json
import logging
from collections.abc import Callable

import pytest

from etl_admin.logs import OneLine
from pipelines.models import Pipeline
from runner.errors import RunError
from runner.plan import Address
from runner.preflight import Findings, Rejected
from runner.preflight import ask as asking
from runner.preflight import test_connection as try_out
from runner.words import MOST, plain
from tests.control.asking import BASE, Asker
from tests.data.loading import Loads
from tests.whole.admin_pages import errors, listing, new_pipeline, page, person

Refused = Callable[..., dict[str, list[str]]]
Check = Callable[..., Findings]

MARKUP = "<img src=x onerror=alert(1)>"
#: A name of 63 bytes at most, as PostgreSQL takes it.
HOSTILE = f"{MARKUP}%s{{0}}\x1b[31m\nFORGED \u202e\x07"
QUERY = f'SELECT "{HOSTILE}" FROM (SELECT 1 AS id) q'


def test_a_sentence_is_one_plain_line_of_bounded_length() -> None:
    said = plain(
        f"a\r\nb\tc\x1b[1;31md\x1b]0;title\x07e\x00f\u202eg\u2028h{MARKUP} 100 % {{}} ж 😀"
    )
    assert said == f"a b cde\ufffdf\ufffdg h{MARKUP} 100 % {{}} ж 😀"
    assert len(plain("x" * 10_000_000)) == MOST
    assert len(plain("\x1b[31m" * 1_000_000)) <= MOST
    assert plain("x" * MOST) == "x" * MOST


def test_errors_are_made_of_such_sentences() -> None:
    error = RunError(HOSTILE * 100, error_class="X")
    rejected = Rejected({"source_query": [HOSTILE * 100]})
    for sentence in (error.sentence, str(error), *rejected.errors["source_query"], str(rejected)):
        assert sentence == plain(sentence)
        assert len(sentence) <= MOST


def formatted(record: logging.LogRecord) -> str:
    return OneLine("{levelname} {name}: {message}", style="{").format(record)


def test_a_log_line_cannot_be_forged() -> None:
    record = logging.LogRecord(
        "runner", 30, "", 1, "%s", ("a\nERROR forged: \x1b[31m {0} %s",), None
    )
    assert formatted(record) == "WARNING runner: a\\nERROR forged: \\x1b[31m {0} %s"


def test_nor_by_the_text_of_an_exception() -> None:
    try:
        raise ValueError("x\nERROR forged: \x1b[31m")
    except ValueError as error:
        facts = (type(error), error, error.__traceback__)
    record = logging.LogRecord("runner", 40, "", 1, "Failed.", (), facts)
    first, *more = formatted(record).splitlines()
    assert first == "ERROR runner: Failed."
    assert all(line.startswith("    ") and line.isprintable() for line in more)
    assert any("ERROR forged" in line for line in more)


def test_the_preflight_quotes_the_server_on_one_line(refused: Refused) -> None:
    (sentence,) = refused(QUERY)["source_query"]
    assert MARKUP in sentence
    assert sentence == plain(sentence)


def test_names_in_warnings_and_promises_are_on_one_line(check: Check, loads: Loads) -> None:
    found = check(
        f'SELECT 1 AS "{HOSTILE}"',
        mode="incremental",
        incremental_key=HOSTILE,
        key_columns=[HOSTILE],
    )
    assert MARKUP in found.promise
    assert all(sentence == plain(sentence) for sentence in (found.promise, *found.warnings))
    assert found.columns[0].name == HOSTILE


def test_a_run_fails_with_one_line_in_its_row_and_its_log(
    loads: Loads, caplog: pytest.LogCaptureFixture
) -> None:
    control = loads.control()
    run = loads.run(loads.define(QUERY), control)
    assert MARKUP in run.error_message
    assert run.error_message == plain(run.error_message)
    lines = control.journal.take()
    assert all(line.text == plain(line.text) for line in lines)
    logged = [formatted(record) for record in caplog.records]
    assert any(MARKUP in line for line in logged)
    assert all(len(line.splitlines()) == 1 for line in logged)


def test_what_a_row_made_fail_is_in_no_log(loads: Loads, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    loads.target.execute("CREATE TABLE analytics.t (id int CHECK (id < 5), name text)")
    run = loads.run(loads.define("SELECT 7 AS id, 'Sesame'::text AS name"))
    assert run.sqlstate == "23514"
    assert "Sesame" not in caplog.text
    assert "Sesame" not in (run.error_message or "")


def test_the_report_of_a_connection_is_plain_too(
    source_address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = "".join(f"chr({ord(c)}) || " for c in HOSTILE) + "repeat('x', 100000)"
    monkeypatch.setattr(
        asking,
        "_REPORT",
        asking._REPORT.replace("current_setting('server_version')", lie, 1),
    )
    report = try_out(source_address)
    assert report.ok
    assert report.server_version == plain(report.server_version)
    assert len(report.sentence) < 300


# Where people see it


def test_the_admin_shows_it_as_text(db: None, target_url: str) -> None:
    client = person("editor")
    answer = client.post(listing(Pipeline, "add"), new_pipeline(source_query=QUERY), follow=True)
    assert MARKUP in errors(answer)["source_query"][0]
    html = answer.content.decode()
    assert MARKUP not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_so_it_is_on_the_page_of_a_failed_run(loads: Loads) -> None:
    pipeline = loads.define(QUERY)
    run = loads.run(pipeline)
    client = person("viewer")
    for address in (page(run), page(pipeline), listing(type(run))):
        assert MARKUP not in client.get(address).content.decode(), address


def test_the_api_answers_with_json_and_its_pages_with_text(db: None, target_url: str) -> None:
    editor = Asker("editor")
    wanted = {"name": "a", "source_query": QUERY, "target_table": "analytics.t"}
    answer = editor.post("/pipelines", wanted)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert MARKUP in json.loads(answer.content)["errors"]["source_query"][0]
    browsed = editor.client.post(
        f"{BASE}/pipelines",
        json.dumps(wanted),
        content_type="application/json",
        headers={"accept": "text/html"},
    )
    assert MARKUP not in browsed.content.decode()
