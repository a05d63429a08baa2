"""Lines from a daemon that never waits for a reader."""

import os
import subprocess
import sys

import pytest

from daemon.output import LossyLines, write


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_a_line_is_out_at_once(pipe):
    reader, writer = pipe
    write(writer, b"a report\n")
    assert os.read(reader, 100) == b"a report\n"


def test_a_reader_that_does_not_read_cannot_make_us_wait(pipe):
    _, writer = pipe
    with pytest.raises(BlockingIOError):
        for _ in range(1000):
            write(writer, b"x" * 5000)


def test_a_reader_that_is_gone_is_an_error(pipe):
    reader, writer = pipe
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write(writer, b"a report\n")


def test_lines_that_nobody_reads_are_dropped_and_counted(pipe):
    reader, writer = pipe
    lines = LossyLines(writer)
    written = 0
    while written < 1 << 18:
        lines.write("x" * 999 + "\n")
        written += 1000
    kept = len(os.read(reader, 1 << 20)) // 1000
    lost = written // 1000 - kept
    assert lost > 0
    lines.write("here again\n")
    lines.write("and on\n")
    lines.flush()
    assert os.read(reader, 1000).decode().splitlines() == [
        f"({lost} lines of the log were lost: nobody read them)",
        "here again",
        "and on",
    ]


def test_text_that_utf_8_cannot_hold_is_written_all_the_same(pipe):
    reader, writer = pipe
    LossyLines(writer).write("\udcff\n")
    assert os.read(reader, 100) == b"\\udcff\n"


@pytest.mark.parametrize("closed", [[1], [2], [0, 1, 2]])
def test_a_missing_standard_descriptor_is_no_place_for_the_next_file(tmp_path, closed):
    found = tmp_path / "found"
    program = (
        "import os, sys\n"
        "from daemon.output import fill_missing_descriptors\n"
        f"for descriptor in {closed}: os.close(descriptor)\n"
        "fill_missing_descriptors()\n"
        f"file = open({str(found)!r}, 'w')\n"
        "file.write(f'{file.fileno()}')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert int(found.read_text()) > 2
