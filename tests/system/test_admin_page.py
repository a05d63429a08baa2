"""The page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By

from tests.system.admin_daemons import Watched
from tests.system.browsers import chromium, resize
from tests.system.conftest import Starter
from tests.system.running import eventually

SERVICES = ["counter", "numbers", "timestamp", "admin"]

ROW = """
const row = [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]
  .find(row => row.querySelector("th").textContent.startsWith(arguments[1]));
return {
  now: row.querySelector("[data-field=now]").textContent,
  note: row.querySelector("[data-field=note]").textContent,
  path: row.querySelector("path").getAttribute("d"),
  words: row.querySelector("svg").getAttribute("aria-label"),
};
"""

COLOURS = """
// Every text with its colour and the colour behind it, and how well the one is seen on the other.
const channel = byte => {
  const value = byte / 255;
  return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
};
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parse = text => text.match(/[\\d.]+/g).map(Number);
const behind = element => {
  for (; element; element = element.parentElement) {
    const colour = parse(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  if (!own) continue;
  const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
  found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim()]);
}
return found;
"""


@pytest.fixture(scope="module")
def watched(module_start: Starter) -> Watched:
    return Watched(module_start, "counter", "timestamp", "numbers")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(browser: WebDriver, watched: Watched) -> Iterator[WebDriver]:
    """The page; whatever a test does, it has nothing to complain of."""
    resize(browser, 1280, 900)
    browser.get(watched.url)
    yield browser
    complaints = browser.get_log("browser")
    assert complaints == []


def row(page: WebDriver, service: str, title: str) -> Any:
    return page.execute_script(ROW, service, title)


def text(page: WebDriver, selector: str) -> str:
    return page.find_element(By.CSS_SELECTOR, selector).text


def test_it_shows_every_service_and_its_state_in_words(page: WebDriver):
    assert page.title == "ready · tsdaemon"
    assert text(page, "#headline") == "All 4 services are ready"
    cards = page.find_elements(By.CSS_SELECTOR, ".card")
    assert [card.get_attribute("id") for card in cards] == [*SERVICES, "process"]
    for name in SERVICES:
        assert text(page, f"#{name} .state") == "ready"


def test_the_numbers_and_plots_move_under_load(page: WebDriver, watched: Watched):
    before = row(page, "counter", "Requests")
    client = watched.connect("counter")

    def has_moved() -> bool:
        for _ in range(20):
            client.ask("GET", "/")
        after = row(page, "counter", "Requests")
        return bool(
            after["now"] not in ("none", "0/s", before["now"])
            and after["note"] != before["note"]
            and after["path"] != before["path"]
            and after["now"] in after["words"]
        )

    eventually(has_moved)


def test_a_reload_shows_the_same_history(page: WebDriver, watched: Watched):
    client = watched.connect("counter")
    client.ask("GET", "/")
    eventually(lambda: row(page, "counter", "In the window")["now"] not in ("none", "0"))
    before = row(page, "counter", "In the window")["path"]
    page.refresh()
    after = row(page, "counter", "In the window")["path"]
    assert len(after) >= len(before) > 10


def test_the_page_says_so_when_the_daemon_is_gone(browser: WebDriver, start: Starter):
    watched = Watched(start)
    browser.get(watched.url)
    assert not browser.find_element(By.ID, "lost").is_displayed()
    watched.daemon.kill()
    lost = browser.find_element(By.ID, "lost")
    eventually(lost.is_displayed)
    assert lost.get_attribute("role") == "alert"
    assert "does not answer" in lost.text
    browser.get_log("browser")


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_all_is_readable_and_nothing_is_wider_than_the_screen(
    page: WebDriver, dark: bool
):
    resize(page, 360, 740, dark=dark)
    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width == 360
    contrasts = page.execute_script(COLOURS)
    assert len(contrasts) > 30
    assert [each for each in contrasts if each[0] < 4.5] == []


def test_it_has_its_landmarks_headings_and_names(page: WebDriver):
    assert len(page.find_elements(By.TAG_NAME, "main")) == 1
    assert len(page.find_elements(By.TAG_NAME, "h1")) == 1
    headings = page.find_elements(By.TAG_NAME, "h2")
    assert [heading.text for heading in headings] == [*SERVICES, "process"]
    for plot in page.find_elements(By.TAG_NAME, "svg"):
        assert plot.get_attribute("role") == "img"
        assert "last ten minutes" in (plot.get_attribute("aria-label") or "")
    for table in page.find_elements(By.TAG_NAME, "table"):
        assert table.find_elements(By.CSS_SELECTOR, "thead th[scope=col]")
        assert table.find_elements(By.CSS_SELECTOR, "tbody th[scope=row]")


def test_without_scripts_it_is_a_table_with_the_same_numbers(watched: Watched, tmp_path: Path):
    client = watched.connect("counter")
    client.ask("GET", "/")

    def is_counted() -> bool:
        card = watched.json("/page.json")["cards"][0]
        return all(each["now"] != "none" for each in card["rows"])

    eventually(is_counted)
    with chromium(tmp_path, scripts=False) as browser:
        browser.get(watched.url)
        assert text(browser, "#headline") == "All 4 services are ready"
        rows = browser.find_elements(By.CSS_SELECTOR, "#counter tbody tr")
        shown = {
            each.find_element(By.TAG_NAME, "th").text.partition("\n")[0]: each.find_element(
                By.CLASS_NAME, "now"
            ).text
            for each in rows
        }
        assert int(shown["In the window"].replace(",", "")) >= 1
        assert browser.find_elements(By.CSS_SELECTOR, "noscript meta[http-equiv=refresh]")
