"""Takes the README's pictures of a running demo: `python docs/make_images.py ADDRESS PASSWORD`.

The demo should be a fresh one. A few pipelines are added to it for the pictures, one that fails
and one that is at work, and taken away again.
"""

import base64
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    FloatRect,
    Page,
    Playwright,
    ViewportSize,
    sync_playwright,
)

IMAGES = Path(__file__).parent / "images"
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE = ViewportSize(width=1360, height=850)
PHONE = {"width": 390, "height": 844}
_SLOW = (
    "SELECT carrier, flight, origin, time_hour, dest, air_time, modified\n"
    "FROM content.flights\n"
    "WHERE pg_sleep(0.001) IS NOT NULL"
)
#: What is loaded, and what the source says by the time that it is compared.
_BEFORE = "SELECT id, title, rating, modified FROM content.film_work WHERE id::text NOT LIKE 'c01%'"
_AFTER = (
    "SELECT id, rating, modified,\n"
    "    CASE WHEN id::text LIKE 'ab3%' THEN title || ' II' ELSE title END AS title\n"
    "FROM content.film_work\n"
    "WHERE id::text NOT LIKE '5a7%'"
)
_FAILS = "SELECT id, title, rating / (rating - rating) AS share\nFROM content.film_work"


class Api:
    """The demo's API, as its administrator."""

    def __init__(self, playwright: Playwright, address: str, password: str) -> None:
        basic = base64.b64encode(f"admin:{password}".encode()).decode()
        self._root = f"{address}/api/v1"
        self._session = playwright.request.new_context(
            extra_http_headers={"Authorization": f"Basic {basic}"}
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON, None when it has none."""
        answer = self._session.fetch(self._root + path, method=method, data=body)
        if not answer.ok:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.text()}")
        return answer.json() if answer.body() else None

    def made(self, name: str, query: str, **fields: Any) -> str:
        """The id of a new pipeline of this query, full unless told otherwise."""
        definition = {"name": name, "source_query": query, "target_table": f"analytics.{name}"}
        made = self.ask("POST", "/pipelines", {"mode": "full", **definition, **fields})
        return str(made["id"])

    def until(self, key: str, *statuses: str) -> None:
        """Wait for the pipeline to stand so."""
        for _attempt in range(300):
            if self.ask("GET", f"/pipelines/{key}/status")["status"] in statuses:
                return
            time.sleep(0.2)
        raise SystemExit(f"The pipeline {key} does not become {' or '.join(statuses)}.")


@contextmanager
def shown(api: Api) -> Iterator[dict[str, str]]:
    """The ids of pipelines worth a picture, by name."""
    ids = {row["name"]: str(row["id"]) for row in api.ask("GET", "/pipelines")}
    for name in ("film_dim_full", "film_rating_agg_incremental", "flights_incremental"):
        for _again in range(6):
            api.ask("POST", f"/pipelines/{ids[name]}/run")
            api.until(ids[name], "IDLE")
    ids["film_shares"] = api.made("film_shares", _FAILS)
    api.ask("POST", f"/pipelines/{ids['film_shares']}/run")
    api.until(ids["film_shares"], "FAILED")
    ids["film_titles"] = api.made("film_titles", _BEFORE, key_columns=["id"])
    api.ask("POST", f"/pipelines/{ids['film_titles']}/run")
    api.until(ids["film_titles"], "IDLE")
    api.ask("PATCH", f"/pipelines/{ids['film_titles']}", {"source_query": _AFTER})
    compared = api.ask("POST", f"/pipelines/{ids['film_titles']}/reconcile", {"level": "rows"})
    ids["comparison"] = compared["id"]
    ids["departures"] = api.made(
        "departures",
        _SLOW,
        mode="incremental",
        incremental_key="modified",
        key_columns=["carrier", "flight", "origin", "time_hour"],
        batch_size=500,
    )
    api.ask("POST", f"/pipelines/{ids['departures']}/run")
    api.until(ids["departures"], "RUNNING")
    time.sleep(10)  # some batches
    yield ids
    api.ask("POST", f"/pipelines/{ids['departures']}/cancel")
    api.until(ids["departures"], "IDLE")
    for name in ("departures", "film_shares", "film_titles"):
        api.ask("DELETE", f"/pipelines/{ids[name]}")


def main() -> None:
    """One picture after the other."""
    address, password = sys.argv[1:3]
    IMAGES.mkdir(exist_ok=True)
    executable = str(CHROMIUM) if CHROMIUM.exists() else None
    with ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        api = Api(playwright, address, password)
        ids = stack.enter_context(shown(api))
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        pipelines = f"{address}/admin/pipelines/pipeline/"
        failed = api.ask("GET", f"/pipelines/{ids['film_shares']}/runs")[0]["id"]

        page = signed_in(browser, address, password)
        take(page, f"{address}/admin/", "overview")
        take(page, pipelines, "pipelines")
        take(page, f"{pipelines}{ids['departures']}/change/", "pipeline")
        take(
            page, f"{address}/admin/pipelines/reconciliation/{ids['comparison']}/change/", "compare"
        )
        page.goto(f"{pipelines}{ids['flights_incremental']}/change/#definition")
        page.get_by_role("button", name="Preview").click()
        page.locator("#etl-answer section, #etl-answer h2").first.wait_for()
        page.set_viewport_size({"width": WIDE["width"], "height": 3000})
        box = page.locator("#etl-answer").bounding_box()
        if not box:
            raise SystemExit("The preview gave no answer.")
        clip = FloatRect(
            x=box["x"] - 16, y=box["y"] - 70, width=box["width"] + 32, height=box["height"] + 86
        )
        page.screenshot(path=IMAGES / "preview.png", clip=clip)
        page.set_viewport_size(WIDE)

        dark = signed_in(browser, address, password, color_scheme="dark")
        take(dark, f"{address}/admin/pipelines/pipelinerun/{failed}/change/", "run-dark")

        russian = signed_in(browser, address, password, locale="ru-RU")
        take(russian, f"{address}/admin/", "overview-ru")

        phone = signed_in(browser, address, password, viewport=PHONE)
        take(phone, f"{pipelines}{ids['departures']}/change/", "phone")
        browser.close()


def take(page: Page, url: str, name: str) -> None:
    """A picture of what the window shows."""
    page.goto(url)
    page.wait_for_timeout(1500)  # charts are drawn
    page.screenshot(path=IMAGES / f"{name}.png")


def signed_in(browser: Browser, address: str, password: str, **looks: Any) -> Page:
    """A tab of the administrator."""
    page = browser.new_page(**{"viewport": WIDE, "locale": "en-GB", **looks})
    page.goto(f"{address}/admin/login/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{address}/admin/")
    return page


if __name__ == "__main__":
    main()
