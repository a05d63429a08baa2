"""The report on stdout."""

from daemon.numbers.report import Tally


def test_it_has_the_words_of_the_challenge():
    tally = Tally(unique=567231, duplicates=12, reported_unique=567181, reported_duplicates=10)
    assert tally.report() == "Received 50 unique numbers, 2 duplicates. Unique total: 567231"


def test_it_gives_the_differences_since_the_last_one():
    tally = Tally()
    tally.add(5, 1)
    tally.reported()
    tally.add(2, 3)
    assert tally.report() == "Received 2 unique numbers, 3 duplicates. Unique total: 7"
    tally.reported()
    assert tally.report() == "Received 0 unique numbers, 0 duplicates. Unique total: 7"


def test_what_no_reader_has_taken_is_in_the_next_one():
    tally = Tally()
    tally.add(5, 1)
    tally.report()
    tally.add(2, 0)
    assert tally.report() == "Received 7 unique numbers, 1 duplicates. Unique total: 7"
