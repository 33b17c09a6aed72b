"""The SQL editor as people use it: by its keys."""

from playwright.sync_api import Page


def write_query(tab: Page, query: str) -> None:
    """Put this query in the place of what the editor holds."""
    tab.locator(".ace_content").click()
    tab.keyboard.press("Control+A")
    tab.keyboard.insert_text(query)
