"""The chain of benchmarks, with commands that end at once in place of those that measure."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.all import end, main
from benchmarks.load import process_tree
from benchmarks.publishing import plan
from benchmarks.publishing.plan import SECTIONS, Section, Step
from benchmarks.publishing.published import load, save
from tests.benchmarks.records import EARLIER, good_results, taken
from tests.system.running import eventually

GOOD = ("report",)
BAD = ("lookups", "--no-such-flag")


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks" / "remarks").mkdir(parents=True)
    return tmp_path


@pytest.fixture(autouse=True)
def _signals() -> object:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, action in before.items():
        signal.signal(number, action)


def plan_is(monkeypatch: pytest.MonkeyPatch, **sections: tuple[Step, ...]) -> None:
    """Replace the steps of all sections; those not named have none."""
    for name in SECTIONS:
        steps = sections.get(name, ())
        monkeypatch.setitem(SECTIONS, name, Section(SECTIONS[name].title, steps, ("--help",)))


def run(checkout: Path, *words: str) -> int:
    """Run the command line in a folder of its own."""
    return main(list(words), checkout / "results.json", checkout)


def test_one_that_fails_does_not_keep_the_others_from_their_turn(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_is(monkeypatch, numbers=(Step("a", BAD), Step("b", GOOD)), hash=(Step("c", GOOD),))
    assert run(checkout) == 1
    assert "FAILED: numbers/a" in capsys.readouterr().err
    found = load(checkout / "results.json")
    assert set(found.steps) == {"numbers/b", "hash/c"}
    assert "no-such-flag" in found.failures["numbers/a"]
    assert "``numbers/a`` failed" in (checkout / "benchmarks" / "RESULTS.rst").read_text()


def test_a_part_is_renewed_alone(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_is(monkeypatch, numbers=(Step("a", BAD),), hash=(Step("c", GOOD),))
    results = good_results()
    save(checkout / "results.json", results)
    assert run(checkout, "--only", "hash") == 0
    found = load(checkout / "results.json")
    assert found.steps["hash/c"].at > found.steps["hash/throughput"].at
    found.steps.pop("hash/c")
    assert found.steps == results.steps


def test_a_run_that_was_killed_goes_on(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_is(monkeypatch, hash=(Step("a", BAD), Step("b", GOOD)), numbers=(Step("c", BAD),))
    results = good_results()
    results.began, results.names = EARLIER, ["hash"]
    results.take("hash/a", taken(at=EARLIER))
    save(checkout / "results.json", results)
    assert run(checkout, "--resume") == 0
    assert f"hash/a: done at {EARLIER}" in capsys.readouterr().out
    found = load(checkout / "results.json")
    assert found.steps["hash/b"].at > EARLIER
    assert found.began == EARLIER
    assert found.ended


def test_without_its_program_a_step_is_left_out(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_is(monkeypatch, hash=(Step("a", GOOD, ("no-such-program",)),))
    assert run(checkout) == 0
    assert load(checkout / "results.json").skipped == {"hash/a": "no-such-program"}


def test_a_quick_look_writes_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_is(monkeypatch)
    assert run(checkout, "--short", "--only", "lookups") == 0
    assert [path.name for path in checkout.rglob("*") if path.is_file()] == []


def test_what_would_be_run_is_shown(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(checkout, "--list", "--only", "idle") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [step.command for step in SECTIONS["idle"].steps]
    assert lines[0].startswith("python -m benchmarks.idle")


def test_a_benchmark_that_is_ended_takes_its_servers_along() -> None:
    program = (
        "import signal, subprocess\n"
        # Who was started in the background ignores it otherwise.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "server = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "try:\n    print('started', flush=True)\n    server.wait()\n"
        "finally:\n    server.kill()\n    server.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        tree = process_tree(process.pid)
        assert len(tree) == 2
        end(process)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in tree))


def test_every_step_has_a_name_of_its_own_and_a_module() -> None:
    folder = Path(plan.__file__).parents[1]
    for section in SECTIONS.values():
        names = [step.name for step in section.steps]
        assert len(names) == len(set(names))
        for step in section.steps:
            assert (folder / f"{step.words[0]}.py").exists()
