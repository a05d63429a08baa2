"""The OpenAPI documents: valid, and of just the routes that there are."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator
from klein import Klein
from openapi_spec_validator import validate

from daemon.http.problem import problem_json
from daemon.plugin import IDescribed, discover
from tests.admin.daemons import House
from tests.http.fronts import Front, front

__all__ = ["front"]

METHODS = {"get", "head", "put", "post", "delete", "patch", "options", "trace"}
HTTP_SERVICES = ["admin", "callback", "counter", "hash", "timestamp"]


def document(name: str):
    plugin = discover()[name]
    assert IDescribed.providedBy(plugin)
    text = plugin.openapi()
    assert text is not None
    return json.loads(text)


def app(name: str) -> Klein:
    from importlib import import_module

    module = import_module(f"daemon.{name}.web")
    (api,) = (
        value
        for key, value in vars(module).items()
        if key.endswith("API") and value.__module__ == module.__name__
    )
    return api.app  # type: ignore[no-any-return]  # a class attribute


def path_of(rule: str) -> str:
    """Write a rule of werkzeug's as OpenAPI does; one that takes nothing is no parameter."""
    return re.sub(r"<(?:\w+:)?_?(\w+)>", r"{\1}", re.sub(r"<nothing:\w+>", "", rule))


@pytest.mark.parametrize("name", HTTP_SERVICES)
def test_it_is_valid(name):
    found = document(name)
    assert found["openapi"].startswith("3.1")
    validate(found)


@pytest.mark.parametrize("name", HTTP_SERVICES)
def test_it_describes_every_route_and_method_and_nothing_else(name):
    routes: dict[str, set[str] | None] = {}
    for rule in app(name).url_map.iter_rules():
        methods = {method.lower() for method in rule.methods} if rule.methods else None
        path = path_of(rule.rule)
        before = routes.get(path, set())
        routes[path] = None if methods is None or before is None else before | methods
    described = {path: METHODS & item.keys() for path, item in document(name)["paths"].items()}
    assert described.keys() == routes.keys()
    for path, methods in routes.items():
        # A route without methods takes any; which of them it means is its handler's to say.
        assert described[path] == methods if methods is not None else described[path], path


@pytest.mark.parametrize("name", HTTP_SERVICES)
def test_every_path_parameter_is_described(name):
    for path, item in document(name)["paths"].items():
        for method in METHODS & item.keys():
            parameters = [*item.get("parameters", []), *item[method].get("parameters", [])]
            named = {each.get("name") for each in parameters if each.get("in") == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path)), (path, method)


def test_a_service_that_speaks_no_http_has_none():
    assert discover()["numbers"].openapi() is None  # type: ignore[attr-defined]  # IDescribed


@pytest.mark.parametrize(
    "target",
    ["/", "/healthz", "/readyz", "/metrics", "/status", "/page.json", "/openapi/tea.json", "/x"],
)
@pytest.mark.parametrize("failing", [False, True])
def test_the_admin_answers_as_its_document_says(front: Front, target, failing):
    house = House()
    tea = house.add("tea", document=b'{"openapi": "3.1.0", "info": {}, "paths": {}}')
    tea.metrics.counter("leaves", "By kind.", lambda: {"green": 1}, label="kind")
    tea.metrics.gauge("cups", "Cups.", lambda: 1)
    house.run()
    if failing:
        tea.health.fail("pot", "no pot")
    front.serve(house.api().app, problem_json)
    reply = front.ask("GET", target)
    found = document("admin")
    if target == "/x":
        schema = found["components"]["schemas"]["Problem"]
    else:
        path = re.sub(r"/openapi/\w+", "/openapi/{name}", target)
        responses = found["paths"][path]["get"]["responses"]
        media_type = reply.fields["content-type"].partition(";")[0]
        schema = responses[str(reply.status)]["content"][media_type]["schema"]
    text = reply.body.decode()
    instance = json.loads(text) if "json" in reply.fields["content-type"] else text
    Draft202012Validator({**schema, "components": found["components"]}).validate(instance)
