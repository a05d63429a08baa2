"""Five places, each given back once."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from daemon.numbers.places import Places


@dataclass(eq=False)
class Client:
    """A client that can hang up and notes when it is read."""

    hung_up: bool = False
    reads: list[str] = field(default_factory=list)

    def has_hung_up(self) -> bool:
        return self.hung_up

    def read_received(self) -> None:
        self.reads.append("read")

    def disconnect(self) -> None:
        self.reads.append("closed")


def test_the_limit_holds():
    places: Places[Client] = Places(2)
    assert [places.take(Client()) for _ in range(4)] == [True, True, False, False]
    assert len(places) == 2


def test_a_place_given_back_twice_is_free_once():
    places: Places[Client] = Places(1)
    client, other = Client(), Client()
    places.take(client)
    places.give_back(client)
    places.take(other)
    places.give_back(client)
    assert not places.take(Client())


def test_a_client_that_hung_up_is_read_to_its_end_and_makes_room():
    places: Places[Client] = Places(1)
    gone = Client(hung_up=True)
    places.take(gone)
    assert places.take(Client())
    assert gone.reads == ["read", "closed"]


def test_closed_places_are_for_nobody_not_even_after_others_have_gone():
    places: Places[Client] = Places(2)
    client = Client(hung_up=True)
    places.take(client)
    places.close()
    assert places.closed
    places.give_back(client)
    assert not places.take(Client())


def test_nobody_is_asked_while_there_is_room():
    places: Places[Client] = Places(2)
    gone = Client(hung_up=True)
    places.take(gone)
    assert places.take(Client())
    assert gone.reads == []


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 9))))
def test_any_coming_and_going_agrees_with_a_plain_count(limit, steps):
    places: Places[Client] = Places(limit)
    clients = [Client() for _ in range(10)]
    inside: set[int] = set()
    for comes, number in steps:
        if comes and number not in inside:
            assert places.take(clients[number]) == (len(inside) < limit)
            if len(inside) < limit:
                inside.add(number)
        else:
            places.give_back(clients[number])
            inside.discard(number)
        assert len(places) == len(inside)
        assert set(places) == {clients[n] for n in inside}
