"""The door: what twistd finds. Strings only, so that ``twistd --help`` imports no service."""

from twisted.application.service import ServiceMaker

from daemon.plugin import ServicePlugin

tsdaemon = ServiceMaker(
    "tsdaemon",
    "daemon.tap",
    "Small network services that are exact, survive crashes and are fast.",
    "tsdaemon",
)

tsobjectsource = ServiceMaker(
    "tsobjectsource",
    "daemon.objectsource.tap",
    "The other side of tsdaemon's callback service, for trying it out.",
    "tsobjectsource",
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

hash = ServicePlugin(  # noqa: A001  # the service's name
    "hash",
    "daemon.hash.service",
    "Hashes passwords with SHA-512 after a delay, as jobs, over HTTP.",
)

callback = ServicePlugin(
    "callback",
    "daemon.callback.service",
    "Takes callbacks, looks up the objects they name, and keeps those online in a database.",
)

admin = ServicePlugin(
    "admin",
    "daemon.admin.service",
    "Tells over HTTP how the daemon and its services are: health, metrics, a page.",
)
