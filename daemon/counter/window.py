"""The counter's rule: how many requests there were in the last so many seconds, exactly."""

from __future__ import annotations

from daemon.storage.mapped import Column


class Window:
    """Counts requests in ``(now - length, now]``, to the microsecond.

    Each request is one entry of the column, the time at which it came: nothing is rounded, and to
    forget is to drop entries from the front. A time smaller than one given before counts as that
    one, so the order of the entries holds whatever the caller's clock does.

    :param column: open, without entries later than now; it belongs to the window from now on.
    :param length_us: microseconds, positive.
    """

    def __init__(self, column: Column, length_us: int) -> None:
        self._column = column
        self._append = column.append
        self._length_us = length_us
        self._last_us = max(column.newest, 1)

    def add(self, now_us: int) -> int:
        """Count a request.

        :param now_us: when it came, in microseconds since the epoch.
        :returns: how many came in the window, this one included.
        :raises OSError: there is no memory left; the request is not counted.
        """
        if now_us < self._last_us:
            now_us = self._last_us
        else:
            self._last_us = now_us
        return self._append(now_us, now_us - self._length_us)

    def count(self, now_us: int) -> int:
        """Give the number of requests in the window, and count none.

        :param now_us: as in :meth:`add`.
        """
        self._last_us = max(self._last_us, now_us)
        self._column.drop_through(self._last_us - self._length_us)
        return self._column.count
