"""Where a server is."""

from __future__ import annotations

import pytest

from daemon.callback.objects.addresses import located
from daemon.resolving import resolve

NAMES = {"one": ["192.0.2.1", "2001:db8::1"], "two": ["192.0.2.2"]}


def look_up(host: str) -> list[str]:
    if host not in NAMES:
        raise OSError(-2, "Name or service not known")
    return NAMES[host]


def places(**parameters: str) -> list[dict[str, str]]:
    return located(parameters, look_up)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("PGHOST", "PGPORT"):
        monkeypatch.delenv(name, raising=False)


def test_each_address_of_each_host_is_tried_in_their_order():
    assert places(host="two,one", port="1,2", user="it") == [
        {"host": "two", "port": "1", "user": "it", "hostaddr": "192.0.2.2"},
        {"host": "one", "port": "2", "user": "it", "hostaddr": "192.0.2.1"},
        {"host": "one", "port": "2", "user": "it", "hostaddr": "2001:db8::1"},
    ]


def test_one_port_is_the_port_of_all():
    assert [place["port"] for place in places(host="two,two", port="1")] == ["1", "1"]


@pytest.mark.parametrize("host", ["/run/postgresql", "@abstract", ""])
def test_a_socket_file_has_no_address(host):
    assert places(host=host) == [{"host": host, "port": ""}]


@pytest.mark.parametrize("name", ["hostaddr", "service"])
def test_what_libpq_knows_better_is_left_to_it(name):
    assert places(host="no such host", **{name: "it"}) == [{"host": "no such host", name: "it"}]


def test_the_environment_counts_as_it_does_for_libpq(monkeypatch):
    monkeypatch.setenv("PGHOST", "two")
    monkeypatch.setenv("PGPORT", "7")
    assert places() == [{"host": "two", "port": "7", "hostaddr": "192.0.2.2"}]


def test_a_host_without_an_address_is_passed_over():
    assert [place["host"] for place in places(host="none,two")] == ["two"]


def test_no_address_at_all_is_an_error():
    with pytest.raises(OSError, match="not known"):
        places(host="none,nobody")


def test_more_ports_than_hosts_are_an_error():
    with pytest.raises(OSError, match="1 hosts, 2 ports"):
        places(host="two", port="1,2")


def test_what_can_be_no_name_is_an_error():
    with pytest.raises(OSError, match="no name"):
        located({"host": "a" * 64 + ".example"}, resolve)
