"""Which benchmarks there are, and in which forms they are run."""

from __future__ import annotations

from typing import Final, NamedTuple

WRK: Final = "wrk"
POSTS: Final = "--only=accepts"


class Step(NamedTuple):
    """One run of a benchmark.

    :ivar name: of its own in a section.
    :ivar words: the module's name, and what it is told.
    :ivar needs: programs without which it cannot be run.
    """

    name: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What is typed to do it alone."""
        module, *flags = self.words
        return " ".join([f"python -m benchmarks.{module}", *flags])


class Section(NamedTuple):
    """What is published under one heading.

    :ivar short: the quick look, which is not published.
    """

    title: str
    steps: tuple[Step, ...]
    short: tuple[str, ...]


def _numbers(name: str, *flags: str) -> Step:
    return Step(name, ("numbers", *flags))


def _http(name: str, *flags: str) -> Step:
    return Step(name, ("http", *flags), (WRK,))


def _callback(name: str, *flags: str) -> Step:
    return Step(name, ("callback", *flags), (WRK,))


def _hash(name: str, *flags: str) -> Step:
    return Step(name, ("hash", *flags), (WRK,))


SAME = ("--heads=same", "--servers=ours,klein,go1")
OUR_AND_GO = "--servers=ours,go1"
WINDOW = ("--only=counter", "--servers=ours")

SECTIONS: Final[dict[str, Section]] = {
    "numbers": Section(
        "Number server",
        (
            _numbers("throughput", "--java", "--repeat=4"),
            _numbers("duplicates", "--duplicates=50", "--repeat=2"),
            _numbers("writes", "--writes=1,10,100,1000,10000", "--repeat=2", "--seconds=2"),
            _numbers("pauses", "--probe", "--without-reference", "--repeat=3"),
            _numbers("terminate", "--terminate=8"),
        ),
        ("--repeat=2",),
    ),
    "http": Section(
        "HTTP services",
        (
            _http(
                "fifty",
                "--only=counter,timestamp",
                "--connections=50",
                "--repeat=5",
                "--seconds=3",
                *SAME,
            ),
            _http(
                "connections",
                "--only=counter",
                "--connections=1,10,200,1000",
                "--repeat=2",
                "--seconds=2",
                *SAME,
            ),
            _http(
                "puts",
                "--only=put-memory,put-disk",
                "--connections=50",
                "--heads=same",
                OUR_AND_GO,
                "--repeat=3",
                "--seconds=2",
            ),
            _http(
                "heads",
                "--only=counter",
                "--connections=50",
                "--heads=differing",
                OUR_AND_GO,
                "--repeat=3",
                "--seconds=2",
            ),
            *(
                _http(
                    f"idle-{number}",
                    f"--idle={number}",
                    "--only=counter",
                    OUR_AND_GO,
                    "--repeat=1",
                    "--seconds=2",
                )
                for number in (1000, 3000, 10_000)
            ),
            _http("slow", "--slow", "--only=counter", OUR_AND_GO, "--repeat=1", "--seconds=3"),
            _http("window-300k", "--window=300000", "--window-seconds=20", *WINDOW),
            _http("window-1m", "--window=1000000", "--window-seconds=25", *WINDOW),
            _http("window-5m", "--window=5000000", "--window-seconds=65", *WINDOW),
        ),
        ("--connections=50", "--repeat=2", "--seconds=2", *SAME),
    ),
    "hash": Section(
        "Hash service",
        (
            _hash("throughput", OUR_AND_GO, "--repeat=4", "--seconds=3"),
            *(
                _hash(f"burst-{jobs}", f"--burst={jobs}")
                for jobs in (300_000, 1_000_000, 3_000_000)
            ),
            _hash("exactness", "--exactness"),
        ),
        ("--repeat=2", "--seconds=2"),
    ),
    "callback": Section(
        "Callback service",
        (
            _callback(
                "accepts", POSTS, "--ids=10", "--repeat=3", "--seconds=4", "--empty-seconds=5"
            ),
            _callback("accepts-200", POSTS, "--ids=200", "--repeat=1", "--empty-seconds=5"),
            _callback("through", "--only=through", "--repeat=2"),
            _callback("delays", "--only=delays", "--delay-seconds=10"),
            *(
                _callback(
                    f"backlog-{number}",
                    "--only=backlog",
                    "--ranges=100",
                    f"--backlog={number}",
                    "--seconds=3",
                )
                for number in (100_000, 1_000_000)
            ),
            _callback("storing", "--only=storing", "--seconds=3"),
            Step("inbox", ("inbox", "--seconds=2", "--backlog=200_000")),
            Step("objects", ("objects", "--seconds=1")),
        ),
        (POSTS, "--ids=10", "--ranges=100", "--sources=down", "--repeat=2", "--seconds=3"),
    ),
    "lookups": Section(
        "Lookups",
        (
            Step("many", ("lookups", "--repeat=3", "--lookups=100_000")),
            *(
                Step(
                    f"in-flight-{number}",
                    ("lookups", "--repeat=2", f"--in-flight={number}", "--lookups=20_000"),
                )
                for number in (1, 8, 64)
            ),
        ),
        ("--lookups=50_000", "--repeat=2"),
    ),
    "isolation": Section(
        "One service saturated, the others asked",
        (Step("isolation", ("isolation", "--seconds=8", "--numbers=50_000_000"), (WRK,)),),
        ("--seconds=4", "--numbers=40_000_000"),
    ),
    "idle": Section(
        "At rest", (Step("idle", ("idle", "--repeat=2")),), ("--repeat=1", "--seconds=5")
    ),
    "profiles": Section("Where the time goes", (Step("profiles", ("profiles",)),), ()),
}
"""In the order in which they are run and published."""

SOAK: Final = "soak"
SOAK_TITLE: Final = "All services busy for an hour"
"""It takes too long to be run with the others; it records its own last result."""
