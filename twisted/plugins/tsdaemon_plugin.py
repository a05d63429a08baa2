"""The door: what twistd finds. Strings only, so that ``twistd --help`` imports no service."""

from twisted.application.service import ServiceMaker

from daemon.plugin import ServicePlugin

tsdaemon = ServiceMaker(
    "tsdaemon",
    "daemon.tap",
    "Small network services that are exact, survive crashes and are fast.",
    "tsdaemon",
)

numbers = ServicePlugin(
    "numbers",
    "daemon.numbers.service",
    "Takes nine-digit numbers from TCP clients and keeps every distinct one in a log.",
)

timestamp = ServicePlugin(
    "timestamp",
    "daemon.timestamp.service",
    "Stores one Unix timestamp over HTTP, linearizable, kept across restarts.",
)

counter = ServicePlugin(
    "counter",
    "daemon.counter.service",
    "Answers every HTTP request with the number of requests of the last 60 seconds.",
)
