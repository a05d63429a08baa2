"""Signals held and delivered, in a process of their own."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading
from daemon import signals

signals.hold()
first = signal.Signals[sys.argv[1]]
os.kill(os.getpid(), first)  # early: nobody waits for it yet
taken, reloaded, done = [], threading.Event(), threading.Event()

def take(number):
    taken.append(number.name)
    if number in signals.STOP:
        done.set()
        return False
    reloaded.set()
    return True

signals.deliver(take)
if first == signals.RELOAD:
    reloaded.wait(10)
    os.kill(os.getpid(), signal.SIGTERM)
done.wait(10)
for _ in range(10_000):  # late: nobody wants them any more
    for number in signals.HELD:
        os.kill(os.getpid(), number)
print(*taken)
"""


@pytest.mark.parametrize(
    ("first", "taken"),
    [("SIGTERM", ["SIGTERM"]), ("SIGINT", ["SIGINT"]), ("SIGHUP", ["SIGHUP", "SIGTERM"])],
)
def test_early_signals_wait_and_late_ones_change_nothing(first, taken):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, first], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == taken
    assert ended.stderr == ""


def test_holding_leaves_all_other_signals_as_they_are():
    program = (
        "import signal; from daemon import signals; signals.hold();"
        "print(*sorted(n.name for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    )
    held = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert held.stdout.split() == ["SIGHUP", "SIGINT", "SIGTERM"]
