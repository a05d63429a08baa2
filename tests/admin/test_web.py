"""What the admin answers, over both servers."""

from __future__ import annotations

import json
import re

import pytest

from daemon.health import Phase
from daemon.http.problem import problem_json
from tests.admin.daemons import House
from tests.http.fronts import Front, front

__all__ = ["front"]

PATHS = ["/healthz", "/readyz", "/metrics", "/status", "/", "/page.json"]
FILES = ["/page.js", "/page.css", "/icon.svg"]


@pytest.fixture
def house() -> House:
    house = House()
    tea = house.add("tea", document=b'{"openapi": "3.1.0"}')
    tea.metrics.counter("cups", "Cups drunk.", lambda: 3, plot="Cups <full>")
    tea.metrics.counter("leaves", "By kind.", lambda: {"green": 1, "black": 2}, label="kind")
    tea.metrics.histogram("steep_seconds", "Steeping.").observe(0.25)
    house.add("milk")
    house.run()
    return house


@pytest.fixture
def admin(front: Front, house: House) -> Front:
    front.serve(house.api().app, problem_json)
    return front


def read(admin: Front, target: str, status: int = 200):
    reply = admin.ask("GET", target)
    assert reply.status == status
    assert reply.fields["content-type"] == "application/json"
    return json.loads(reply.body)


def test_it_lives_whatever_happens(admin, house):
    house.overview.phase = Phase.DRAINING
    reply = admin.ask("GET", "/healthz")
    assert (reply.status, reply.body) == (200, b"ok")
    assert reply.fields["content-type"].startswith("text/plain")


def test_ready_it_says_how_each_service_is(admin):
    assert read(admin, "/readyz") == {
        "ready": True,
        "services": {
            name: {"ok": True, "degraded": False, "why": None, "since": "2023-11-14T22:13:20.000Z"}
            for name in ("tea", "milk")
        },
    }


def test_a_degraded_service_is_ready(admin, house):
    house.clock.advance(1.5)
    house.overview.members["tea"].health.degrade("pot", "it leaks")
    found = read(admin, "/readyz")
    assert found["ready"] is True
    assert found["services"]["tea"] == {
        "ok": True,
        "degraded": True,
        "why": "it leaks",
        "since": "2023-11-14T22:13:21.500Z",
    }


def test_a_service_that_cannot_do_its_job_makes_the_daemon_unready(admin, house):
    health = house.overview.members["tea"].health
    health.fail("pot", "no pot")
    found = read(admin, "/readyz", 503)
    assert found["ready"] is False
    assert found["services"]["tea"]["ok"] is False
    assert found["services"]["tea"]["why"] == "no pot"
    assert found["services"]["milk"]["ok"] is True
    health.recover("pot")
    assert read(admin, "/readyz")["ready"] is True


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING])
def test_a_daemon_that_starts_or_stops_is_not_ready(admin, house, phase):
    house.overview.phase = phase
    house.overview.members["milk"].health.enter(phase)
    found = read(admin, "/readyz", 503)
    assert (found["ready"], found["services"]["milk"]["ok"]) == (False, False)


def test_the_status_has_all_numbers(admin, house):
    house.clock.advance(90)
    found = read(admin, "/status")
    assert found["version"] == "1.2.3"
    assert (found["state"], found["ready"]) == ("running", True)
    assert (found["started"], found["uptime_seconds"]) == ("2023-11-14T22:13:20.000Z", 90)
    tea = found["services"]["tea"]
    assert tea["state"] == "ready"
    assert tea["numbers"] == {
        "cups": 3,
        "leaves": {"green": 1, "black": 2},
        "steep_seconds": {"count": 1, "sum": 0.25},
    }
    assert found["services"]["milk"]["numbers"] == {}


def test_the_metrics_come_in_the_format_asked_for(admin):
    plain = admin.ask("GET", "/metrics")
    assert plain.fields["content-type"].startswith("text/plain; version=0.0.4")
    assert b"\ntsdaemon_tea_cups_total 3.0\n" in plain.body
    assert plain.fields["vary"] == "Accept"
    wanted = admin.ask("GET", "/metrics", fields={"Accept": "application/openmetrics-text"})
    assert wanted.fields["content-type"].startswith("application/openmetrics-text")
    assert wanted.body.endswith(b"# EOF\n")


def test_a_document_is_given_for_services_that_have_one(admin):
    assert read(admin, "/openapi/tea.json") == {"openapi": "3.1.0"}
    for target in ("/openapi/milk.json", "/openapi/coffee.json", "/openapi/..%2Fweb.json"):
        assert admin.ask("GET", target).status == 404


def test_what_is_not_there_is_404_in_its_own_media_type(admin):
    reply = admin.ask("GET", "/favicon.ico")
    assert reply.status == 404
    assert reply.fields["content-type"] == "application/problem+json"
    assert json.loads(reply.body)["status"] == 404
    assert reply.fields["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("target", [*PATHS, *FILES])
def test_head_is_get_without_the_body(admin, target):
    get, head = admin.ask("GET", target), admin.ask("HEAD", target)
    assert (head.status, head.body) == (get.status, b"")
    assert head.fields == get.fields


@pytest.mark.parametrize("target", [*PATHS, *FILES])
def test_nothing_can_be_changed(admin, target):
    reply = admin.ask("POST", target, b"x")
    assert reply.status == 405
    assert reply.fields["allow"] == "GET, HEAD, OPTIONS"


def test_options_says_what_can_be_done(admin):
    admin.differs("OPTIONS")
    reply = admin.ask("OPTIONS", "/readyz")
    assert (reply.status, reply.fields["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("target", [*PATHS, *FILES, "/nowhere"])
def test_nothing_is_kept_guessed_or_told_to_others(admin, target):
    fields = admin.ask("GET", target).fields
    assert fields["cache-control"] == "no-store"
    assert fields["x-content-type-options"] == "nosniff"
    assert fields["referrer-policy"] == "no-referrer"


def test_the_page_may_load_nothing_but_its_own_parts(admin):
    reply = admin.ask("GET", "/")
    policy = reply.fields["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    text = reply.body.decode()
    loaded = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert not [target for target in loaded if ":" in target or target.startswith("/")]
    assert not re.search(r"<script(?! src)|<style|\son[a-z]+=|\sstyle=", text)


def test_the_page_has_its_values_without_any_script(admin):
    text = admin.ask("GET", "/").body.decode()
    assert "All 2 services are ready" in text
    assert "Cups &lt;full&gt;" in text
    assert "Makes &lt;tea&gt;." in text
    assert "<full>" not in text
    assert re.search(r'<td class="now" data-field="now">\S', text)
    assert '<a href="openapi/tea.json">' in text


def test_the_script_is_given_what_the_page_shows(admin):
    page = read(admin, "/page.json")
    assert page["headline"] == "All 2 services are ready"
    assert [card["name"] for card in page["cards"]] == ["tea", "milk", "process"]
    assert page["cards"][0]["rows"][0]["title"] == "Cups <full>"
