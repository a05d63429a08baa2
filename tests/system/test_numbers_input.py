"""What counts as a number, and what ends a client."""

from __future__ import annotations

import random

import pytest

from tests.system.clients import Client, fresh_numbers, lines
from tests.system.conftest import Starter
from tests.system.running import RunningDaemon, eventually

BAD_LINES = {
    "a plus sign": b"+12345678\n",
    "a minus sign": b"-12345678\n",
    "a blank first": b" 12345678\n",
    "a blank last": b"12345678 \n",
    "a carriage return": b"123456789\r\n",
    "a carriage return as the ninth byte": b"12345678\r\n",
    "a letter": b"12345678a\n",
    "an exponent": b"1234567e8\n",
    "an underscore": b"1234_5678\n",
    "a decimal point": b"1234.5678\n",
    "hexadecimal digits": b"0x1234567\n",
    "eight digits": b"12345678\n",
    "ten digits": b"1234567890\n",
    "nothing": b"\n",
    "Arabic-Indic digits": "١٢٣٤٥٦٧٨٩\n".encode(),
    "one Arabic-Indic digit in nine bytes": "1234567٨\n".encode(),
    "a superscript digit in Latin-1": b"12345678\xb2\n",
    "NUL": b"1234\x006789\n",
    "the byte after 9": b"12345678:\n",
    "the byte before 0": b"12345678/\n",
    "terminate without its end": b"terminat\n",
    "terminate with a capital": b"Terminate\n",
    "terminate in capitals": b"TERMINATE\n",
    "terminate after digits": b"123terminate\n",
    "terminate after a number": b"123456789terminate\n",
    "terminate before a blank": b"terminate \n",
    "terminate before a carriage return": b"terminate\r\n",
}

IMPOSSIBLE_STARTS = {
    "a letter after digits": b"12a",
    "a lone letter": b"x",
    "a lone minus": b"-",
    "a lone carriage return": b"\r",
    "a lone NUL": b"\0",
    "ten digits": b"1234567890",
    "nine digits and a blank": b"123456789 ",
    "a capital T": b"T",
    "terminate gone wrong": b"te1",
    "terminate gone wrong at the end": b"terminatx",
    "more than terminate": b"terminate1",
    "20 kB of digits": b"1" * 20_000,
    "20 kB of NUL": bytes(20_000),
}


def went_through(daemon: RunningDaemon, client: Client) -> None:
    """Send a number and wait for it: all that was received before is dealt with then."""
    numbers = fresh_numbers(1)
    client.send_numbers(numbers)
    daemon.wait_for(numbers)


def test_every_number_of_five_clients_is_written_once_and_without_leading_zeros(start: Starter):
    daemon = start()
    chance = random.Random(6)  # noqa: S311  # data, no secrets
    shared = [0, 7, 70, 999_999_999, *chance.sample(range(10**9), 1_000)]
    sent = [
        [*shared, *chance.sample(range(10**9), 3_000), *chance.choices(shared, k=500)]
        for _ in range(5)
    ]
    for numbers in sent:
        chance.shuffle(numbers)
    clients = [daemon.connect() for _ in sent]
    for at in range(0, len(sent[0]), 333):
        for client, numbers in zip(clients, sent, strict=True):
            client.send_numbers(numbers[at : at + 333])

    distinct = {number for numbers in sent for number in numbers}
    eventually(lambda: len(daemon.lines()) >= len(distinct))
    assert daemon.stop() == 0
    written = daemon.log.read_bytes()
    assert sorted(written.split()) == sorted(b"%d" % number for number in distinct)
    assert written.count(b"\n") == len(distinct)
    assert len(written) == sum(len(str(number)) + 1 for number in distinct)
    total = sum(map(len, sent))
    assert daemon.last_report() == (len(distinct), total - len(distinct), len(distinct))


def test_zero_is_written_as_one_digit(start: Starter):
    daemon = start()
    daemon.connect().send(b"000000000\n000000001\n000000010\n000000000\n")
    daemon.wait_for([0, 1, 10])
    assert daemon.stop() == 0
    assert sorted(daemon.log.read_bytes().splitlines(keepends=True)) == [b"0\n", b"1\n", b"10\n"]


@pytest.mark.parametrize("position", range(1, 10))
def test_a_line_that_comes_in_two_pieces_counts(daemon: RunningDaemon, position: int):
    client, other = daemon.connect(), daemon.connect()
    first, split, last = fresh_numbers(3)
    line = lines([split])
    client.send(lines([first]) + line[:position])
    went_through(daemon, other)
    assert str(split) not in daemon.lines()
    client.send(line[position:] + lines([last]))
    daemon.wait_for([first, split, last])


def test_lines_that_come_byte_by_byte_count(daemon: RunningDaemon):
    client, other = daemon.connect(), daemon.connect()
    numbers = fresh_numbers(2)
    for byte in lines(numbers):
        client.send(bytes([byte]))
        went_through(daemon, other)
    daemon.wait_for(numbers)


@pytest.mark.parametrize("before", [3, 1_000], ids=["in a small read", "in a large read"])
@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_bad_line_ends_its_client_and_what_came_before_counts(
    daemon: RunningDaemon, line: bytes, before: int
):
    client, other = daemon.connect(), daemon.connect()
    counted, lost = fresh_numbers(before), fresh_numbers(3)
    client.send(lines(counted) + line + lines(lost))
    assert client.until_end() == b""
    daemon.wait_for(counted)
    went_through(daemon, other)
    assert not {str(number) for number in lost} & set(daemon.lines())


def test_a_bad_line_as_the_first_one_ends_its_client(daemon: RunningDaemon):
    client = daemon.connect().send(b"\n" + lines(lost := fresh_numbers(2)))
    assert client.until_end() == b""
    went_through(daemon, daemon.connect())
    assert not {str(number) for number in lost} & set(daemon.lines())


@pytest.mark.parametrize("start_of_line", IMPOSSIBLE_STARTS.values(), ids=IMPOSSIBLE_STARTS.keys())
def test_the_first_impossible_byte_is_enough(daemon: RunningDaemon, start_of_line: bytes):
    counted = fresh_numbers(2)
    client = daemon.connect()
    client.send_while_possible(lines(counted) + start_of_line)
    assert client.until_end() == b""
    daemon.wait_for(counted)


def test_an_impossible_byte_in_a_later_piece_is_enough(daemon: RunningDaemon):
    client, other = daemon.connect(), daemon.connect()
    client.send(b"1234")
    went_through(daemon, other)
    client.send(b"x")
    assert client.until_end() == b""


@pytest.mark.parametrize("unfinished", [b"1", b"12345678", b"123456789", b"term", b"terminate"])
def test_an_unfinished_last_line_is_dropped_at_the_end_of_input(
    daemon: RunningDaemon, unfinished: bytes
):
    client = daemon.connect()
    complete = fresh_numbers(3)
    client.send(lines(complete) + unfinished)
    client.finish()
    assert client.until_end() == b""
    went_through(daemon, daemon.connect())
    assert {str(number) for number in complete} <= set(daemon.lines())
    assert unfinished.decode() not in daemon.lines()


@pytest.mark.parametrize("unfinished", [b"1", b"12345678", b"123456789", b"terminate"])
def test_an_unfinished_last_line_is_dropped_when_the_client_breaks_off(
    daemon: RunningDaemon, unfinished: bytes
):
    client = daemon.connect()
    complete = fresh_numbers(3)
    client.send(lines(complete) + unfinished)
    daemon.wait_for(complete)
    client.reset()
    went_through(daemon, daemon.connect())
    assert unfinished.decode() not in daemon.lines()


def test_one_clients_end_harms_no_other(daemon: RunningDaemon):
    """Their unfinished lines stay theirs, however others go."""
    others = [daemon.connect() for _ in range(2)]
    numbers = fresh_numbers(2)
    for other, number in zip(others, numbers, strict=True):
        other.send(lines([number])[:5])
    went_through(daemon, others.pop(0).send(lines(numbers[:1])[5:]))
    for end in ("reset", "close", "finish"):
        getattr(daemon.connect().send(b"12345"), end)()
    assert daemon.connect().send(b"?").until_end() == b""
    others[0].send(lines(numbers[1:])[5:])
    daemon.wait_for(numbers)
