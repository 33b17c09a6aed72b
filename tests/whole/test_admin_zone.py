"""Times in the reader's zone: by a cookie of their browser, and only on pages for people."""

import json
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone
from playwright.sync_api import expect

from pipelines.admin.charts import day_chart
from pipelines.models import PipelineRun
from pipelines.zones import UserTimeZone, zone
from tests.factories import PipelineFactory, RunFactory, UserFactory
from tests.whole import browsing
from tests.whole.admin_pages import listing, page, person

pytestmark = pytest.mark.django_db


def utc(text: str) -> datetime:
    """A time such as 2026-11-23T05:30:12, in UTC."""
    return datetime.fromisoformat(f"{text}+00:00")


def run_at(text: str, **columns) -> PipelineRun:
    """A run that began and ended then."""
    run = RunFactory(**columns)
    PipelineRun.objects.filter(pk=run.pk).update(started_at=utc(text), finished_at=utc(text))
    return run


def in_zone(name: str) -> Client:
    """A signed-in administrator whose browser says this zone."""
    client = person(is_superuser=True)
    client.cookies["timezone"] = name
    return client


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Europe/Moscow", "2026-11-23 08:30:12 MSK"),
        ("UTC", "2026-11-23 05:30:12 UTC"),
        ("Europe/Berlin", "2026-11-23 06:30:12 CET"),
        ("Asia/Kolkata", "2026-11-23 11:00:12 IST"),
        ("Asia/Calcutta", "2026-11-23 11:00:12 IST"),
        ("Asia/Kathmandu", "2026-11-23 11:15:12 UTC+05:45"),
        ("America/Sao_Paulo", "2026-11-23 02:30:12 UTC-03:00"),
        ("America/St_Johns", "2026-11-23 02:00:12 NST"),
        ("Pacific/Kiritimati", "2026-11-23 19:30:12 UTC+14:00"),
        ("Etc/GMT-3", "2026-11-23 08:30:12 UTC+03:00"),
    ],
)
def test_a_time_is_that_of_the_reader_and_names_its_zone(name: str, shown: str) -> None:
    run = run_at("2026-11-23T05:30:12")
    client = in_zone(name)

    assert f'title="{shown}"' in client.get(listing(PipelineRun)).content.decode()
    assert shown in client.get(page(run)).content.decode()


def test_without_a_cookie_times_are_in_utc_and_say_so() -> None:
    run_at("2026-11-23T05:30:12")
    html = person().get(listing(PipelineRun)).content.decode()
    assert 'title="2026-11-23 05:30:12 UTC"' in html


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Nowhere/City",
        "europe/moscow",
        "../../etc/passwd",
        "/etc/passwd",
        "Europe",
        "Europe/",
        "localtime",
        "Factory",
        "posixrules",
        "Europe/Moscow\x00",
        "Europe/Moscow'; DROP TABLE users",
        "<script>",
        "Москва",
        "A" * 5000,
        "%s",
        "UTC+3",
    ],
)
def test_a_cookie_that_names_no_zone_is_passed_over(name: str) -> None:
    assert zone(name) is None
    run_at("2026-11-23T05:30:12")
    client = person()
    session = client.cookies["sessionid"].value
    sent = f"timezone={name.encode().decode('latin-1')}; sessionid={session}"

    answer = client.get(listing(PipelineRun), headers={"cookie": sent})

    assert answer.status_code == 200
    assert "2026-11-23 05:30:12 UTC" in answer.content.decode()


def test_the_zone_ends_with_the_request() -> None:
    in_zone("Asia/Tokyo").get("/admin/")
    assert timezone.get_current_timezone_name() == "UTC"


def test_the_zone_ends_with_a_request_that_fails() -> None:
    def fail(_request):
        assert timezone.get_current_timezone_name() == TOKYO
        raise RuntimeError

    request = RequestFactory().get("/admin/")
    request.COOKIES["timezone"] = TOKYO
    with pytest.raises(RuntimeError):
        UserTimeZone(fail)(request)
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_the_api_stays_in_utc(accept: str) -> None:
    run = run_at("2026-11-23T05:30:12")
    address = f"/api/v1/pipelines/{run.pipeline_id}/runs"

    plain = person().get(address, headers={"accept": accept}).content.decode()
    zoned = in_zone("Asia/Tokyo").get(address, headers={"accept": accept}).content.decode()

    for text in (plain, zoned):
        assert "2026-11-23T05:30:12Z" in text
        assert "+09:00" not in text


def test_django_s_own_times_name_the_zone_too() -> None:
    client = in_zone("Europe/Moscow")
    client.user.date_joined = utc("2026-11-23T05:30:12")
    client.user.save()
    assert "2026-11-23 08:30:12 MSK" in client.get(page(client.user)).content.decode()


def test_today_in_a_filter_is_the_reader_s_today() -> None:
    links = in_zone("Pacific/Kiritimati").get(listing(PipelineRun)).content.decode()
    assert "%2B14%3A00" in links
    assert "started_at__gte=" in links


def test_a_filter_takes_the_day_as_the_reader_has_it() -> None:
    run_at("2026-11-22T21:30:00", pipeline__name="late_in_utc")
    run_at("2026-11-22T20:30:00", pipeline__name="the_day_before")
    days = "?started_at__gte=2026-11-23 00:00:00%2B03:00&started_at__lt=2026-11-24 00:00:00%2B03:00"
    rows = in_zone("Europe/Moscow").get(listing(PipelineRun) + days).context["cl"].result_list
    assert [run.pipeline.name for run in rows] == ["late_in_utc"]


# The chart of the last day: 24 hours, whatever the clock does.


def drawn(name: str, now: str, *runs: str) -> list[tuple[str, int]]:
    """Label and number of each hour in which something ran, and that there are 24 of them."""
    for at in runs:
        run_at(at)
    with timezone.override(ZoneInfo(name)):
        chart = json.loads(day_chart(now=utc(now))["day_chart"])
    (bars,) = chart["datasets"]
    assert len(chart["labels"]) == len(bars["data"]) == 24
    assert len(set(chart["labels"])) == 24
    return [(label, n) for label, n in zip(chart["labels"], bars["data"], strict=True) if n]


@pytest.mark.parametrize(
    ("name", "now", "runs", "hours"),
    [
        # The first and the last minute of the day that is shown, and one before it.
        (
            "UTC",
            "2026-11-23T05:30:00",
            ["2026-11-22T05:59:59", "2026-11-22T06:00:00", "2026-11-23T05:29:59"],
            [("06:00", 1), ("05:00", 1)],
        ),
        ("Europe/Moscow", "2026-11-23T05:30:00", ["2026-11-23T04:10:00"], [("07:00", 1)]),
        # Half and quarter hours: 05:29 UTC is 10:59 and 05:31 is 11:01, or 05:14 and 05:16 are.
        (
            "Asia/Kolkata",
            "2026-11-23T05:40:00",
            ["2026-11-23T05:29:00", "2026-11-23T05:31:00"],
            [("10:00", 1), ("11:00", 1)],
        ),
        (
            "Asia/Kathmandu",
            "2026-11-23T05:40:00",
            ["2026-11-23T05:14:00", "2026-11-23T05:16:00"],
            [("10:00", 1), ("11:00", 1)],
        ),
        # 29 March 2026, Berlin: after 01:59 comes 03:00.
        (
            "Europe/Berlin",
            "2026-03-29T10:30:00",
            ["2026-03-29T00:30:00", "2026-03-29T01:30:00"],
            [("01:00", 1), ("03:00", 1)],
        ),
        # 25 October 2026, Berlin: 02:00 comes twice, and says which it is.
        (
            "Europe/Berlin",
            "2026-10-25T10:30:00",
            ["2026-10-25T00:30:00", "2026-10-25T01:30:00", "2026-10-25T01:40:00"],
            [("02:00 CEST", 1), ("02:00 CET", 2)],
        ),
        # While it comes for the second time.
        (
            "Europe/Berlin",
            "2026-10-25T01:30:00",
            ["2026-10-25T00:30:00", "2026-10-25T01:10:00"],
            [("02:00 CEST", 1), ("02:00 CET", 1)],
        ),
        # Lord Howe puts its clock back by half an hour at 02:00, on 5 April 2026 at 15:00 UTC.
        (
            "Australia/Lord_Howe",
            "2026-04-04T20:45:00",
            ["2026-04-04T14:10:00", "2026-04-04T20:40:00"],
            [("00:30", 1), ("07:00", 1)],
        ),
    ],
)
def test_each_hour_of_the_chart_is_an_hour_of_the_reader(name, now, runs, hours) -> None:
    assert drawn(name, now, *runs) == hours


@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"])
@pytest.mark.parametrize(
    "day", ["2026-03-29", "2026-04-04", "2026-10-03", "2026-10-25", "2026-11-01"]
)
def test_no_run_of_the_last_day_is_missing_or_counted_twice(name: str, day: str) -> None:
    every_ten_minutes = [
        f"{day}T{hour:02}:{minute}5:00" for hour in range(24) for minute in range(6)
    ]
    shown = sum(number for _hour, number in drawn(name, f"{day}T23:59:00", *every_ten_minutes))
    with timezone.override(ZoneInfo(name)):
        first = utc(f"{day}T23:59:00")
        passed = timezone.localtime(first).minute
    # The hour that goes on began `passed` minutes ago, and the first of 24 began 23 hours before.
    since = 23 * 60 + passed
    assert shown == sum(
        1 for at in every_ten_minutes if (first - utc(at)).total_seconds() <= since * 60
    )


# In the browser.

TOKYO = "Asia/Tokyo"
_NO_COOKIES = "Object.defineProperty(document, 'cookie', {get: () => '', set: () => {}})"
#: Of a browser that keeps what scripts store for one page only.
_FORGETFUL = """
    let kept = "";
    Object.defineProperty(document, "cookie", {get: () => kept, set: (c) => kept = c.split(";")[0]})
"""


class Reader:
    """Somebody whose session began without a zone, in a browser that has one."""

    def __init__(self, browser, site: str, *, script: str = "") -> None:
        self.context = browser.new_context(base_url=site, locale="en-US", timezone_id=TOKYO)
        session = person(is_superuser=True).cookies["sessionid"].value
        self.context.add_cookies([{"name": "sessionid", "value": session, "url": site}])
        self.tab = self.context.new_page()
        self.tab.add_init_script(script)
        self.loads: list[str] = []
        self.tab.on(
            "request",
            lambda asked: asked.is_navigation_request() and self.loads.append(asked.method),
        )

    def cookie(self) -> dict[str, object] | None:
        """That of the zone, as the browser keeps it."""
        found = [kept for kept in self.context.cookies() if kept["name"] == "timezone"]
        return dict(found[0]) if found else None


@pytest.fixture
def reader(browser, live_server):
    """Make readers; their browsers are closed at the end."""
    readers: list[Reader] = []

    def make(**options: str) -> Reader:
        readers.append(Reader(browser, live_server.url, **options))
        return readers[-1]

    yield make
    for each in readers:
        each.context.close()


@pytest.mark.browser
def test_a_browser_tells_its_zone_while_people_sign_in(browser, live_server) -> None:
    UserFactory(username="anna", is_superuser=True)
    run_at("2026-11-23T05:30:12")
    context = browser.new_context(base_url=live_server.url, locale="en-US", timezone_id=TOKYO)
    tab = context.new_page()
    browsing.sign_in(tab, "anna")
    tab.goto(listing(PipelineRun))
    expect(tab.locator("time").first).to_have_attribute("title", "2026-11-23 14:30:12 JST")
    context.close()


@pytest.mark.browser
def test_a_page_that_could_not_know_the_zone_is_asked_for_once_more(reader) -> None:
    run_at("2026-11-23T05:30:12")
    anna = reader()
    anna.tab.goto(listing(PipelineRun), wait_until="commit")
    expect(anna.tab.locator("time").first).to_have_attribute("title", "2026-11-23 14:30:12 JST")
    anna.tab.goto(listing(PipelineRun))
    anna.tab.goto("/admin/")

    assert anna.loads == ["GET"] * 4
    kept = anna.cookie()
    assert kept is not None
    assert kept | {"value": TOKYO, "sameSite": "Lax", "path": "/", "secure": False} == kept
    assert 364 < (kept["expires"] - time.time()) / 86_400 <= 365


@pytest.mark.browser
@pytest.mark.parametrize("script", [_NO_COOKIES, _FORGETFUL])
def test_a_browser_that_keeps_no_cookie_does_not_ask_for_ever(reader, script: str) -> None:
    run_at("2026-11-23T05:30:12")
    anna = reader(script=script)
    anna.tab.goto(listing(PipelineRun), wait_until="commit")
    anna.tab.wait_for_load_state("networkidle")
    once = 1 if script == _NO_COOKIES else 2
    assert anna.loads == ["GET"] * once

    anna.tab.goto(listing(PipelineRun))
    anna.tab.wait_for_load_state("networkidle")
    assert anna.loads == ["GET"] * (once + 1)
    expect(anna.tab.locator("time").first).to_have_attribute("title", "2026-11-23 05:30:12 UTC")


@pytest.mark.browser
def test_what_a_form_answers_is_not_asked_for_again(reader) -> None:
    anna = reader()
    anna.tab.goto("/admin/pipelines/pipeline/add/", wait_until="commit")
    anna.tab.wait_for_load_state("networkidle")
    assert anna.loads == ["GET", "GET"]

    anna.context.clear_cookies(name="timezone")
    anna.tab.evaluate("sessionStorage.clear()")
    anna.tab.get_by_label("Name").fill("half written")
    anna.tab.get_by_role("button", name="Save").click()
    expect(anna.tab.get_by_label("Name")).to_have_value("half written")
    anna.tab.wait_for_load_state("networkidle")
    assert anna.loads == ["GET", "GET", "POST"]
    assert anna.cookie() is not None


@pytest.mark.browser
def test_the_message_after_a_form_is_not_lost(reader) -> None:
    pipeline = PipelineFactory(name="films")
    anna = reader()
    anna.tab.goto(page(pipeline), wait_until="commit")
    anna.tab.wait_for_load_state("networkidle")
    anna.context.clear_cookies(name="timezone")
    anna.tab.evaluate("sessionStorage.clear()")

    anna.tab.get_by_role("button", name="Run").click()

    expect(anna.tab.get_by_text("A run of “films” is requested.")).to_be_visible()
    anna.tab.wait_for_load_state("load")
    assert anna.loads == ["GET", "GET", "POST", "GET"]
