"""A source and a database that do what the test says, when it says so."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed

from daemon.callback.objects.store import Seen
from daemon.http.client import Answer, ConnectionFailedError


class ScriptedSource:
    """A client of the source, each of whose answers is given by the test.

    :ivar asked: the ids that wait for an answer, in the order asked.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Deferred[Answer]]] = []
        self.closed = False

    @property
    def asked(self) -> list[int]:
        return [object_id for object_id, _ in self._waiting]

    def get(self, path: bytes) -> Deferred[Answer]:
        prefix, _, object_id = path.rpartition(b"/")
        assert prefix == b"/objects"
        answer: Deferred[Answer] = Deferred()
        self._waiting.append((int(object_id), answer))
        return answer

    def close(self) -> Deferred[None]:
        self.closed = True
        for object_id in self.asked:
            self.fail(object_id, ConnectionFailedError("closed"))
        return succeed(None)

    def answer(self, *object_ids: int, online: bool = True) -> None:
        for object_id in object_ids:
            self._take(object_id).callback(_says(object_id, online=online))

    def answer_all(self, *, online: bool) -> int:
        """Answer whatever waits; give how much that was."""
        waiting, self._waiting = self._waiting, []
        for object_id, answer in waiting:
            answer.callback(_says(object_id, online=online))
        return len(waiting)

    def answer_status(self, object_id: int, status: int) -> None:
        self._take(object_id).callback(Answer(status, {}, b""))

    def fail(self, object_id: int, error: Exception) -> None:
        self._take(object_id).errback(error)

    def _take(self, object_id: int) -> Deferred[Answer]:
        place = self.asked.index(object_id)
        return self._waiting.pop(place)[1]


def _says(object_id: int, *, online: bool) -> Answer:
    return Answer(200, {}, b'{"id":%d,"online":%s}' % (object_id, b"true" if online else b"false"))


class ScriptedStore:
    """A database in memory; once :attr:`held`, it answers when the test says so.

    :ivar rows: what is stored.
    :ivar upserts: the sizes of the batches so far.
    """

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.upserts: list[int] = []
        self.swept: list[int] = []
        self.held = False
        self.errors: list[Exception] = []
        self.swept_by_another = False
        self._waiting: list[Deferred[None]] = []
        self.closed = False

    def prepare(self) -> list[str]:
        return []

    async def open(self) -> None:
        pass

    async def upsert(self, rows: Sequence[Seen]) -> None:
        self.upserts.append(len(rows))
        await self._turn()
        assert len({row.id for row in rows}) == len(rows)
        for object_id, last_seen_us in rows:
            self.rows[object_id] = max(last_seen_us, self.rows.get(object_id, last_seen_us))

    async def sweep(self, before_us: int, beyond_us: int) -> int | None:
        self.swept.append(before_us)
        await self._turn()
        if self.swept_by_another:
            return None
        over = [
            object_id
            for object_id, seen_us in self.rows.items()
            if seen_us < before_us or seen_us > beyond_us
        ]
        for object_id in over:
            del self.rows[object_id]
        return len(over)

    async def get(self, object_id: int, since_us: int) -> Seen | None:
        await self._turn()
        seen_us = self.rows.get(object_id)
        return None if seen_us is None or seen_us < since_us else Seen(object_id, seen_us)

    async def page(self, after: int | None, limit: int, since_us: int) -> list[Seen]:
        await self._turn()
        rows = [
            Seen(object_id, seen_us)
            for object_id, seen_us in sorted(self.rows.items())
            if seen_us >= since_us and (after is None or object_id > after)
        ]
        return rows[:limit]

    async def close(self) -> None:
        self.closed = True

    def let_go(self) -> None:
        """Let what waits go on."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    async def _turn(self) -> None:
        if self.held:
            mine: Deferred[None] = Deferred()
            self._waiting.append(mine)
            await mine
        if self.errors:
            raise self.errors.pop(0)
