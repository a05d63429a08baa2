"""The state folder."""

import pytest

from daemon.state import StateFolder, StateFolderInUseError


def test_it_is_made_private_when_first_asked_for(tmp_path):
    path = tmp_path / "a" / "state"
    folder = StateFolder(path)
    assert not path.exists()
    assert folder.open() == path
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "lock").stat().st_mode & 0o777 == 0o600
    folder.close()


def test_a_folder_open_to_others_becomes_private(tmp_path):
    tmp_path.chmod(0o755)
    folder = StateFolder(tmp_path)
    folder.open()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    folder.close()


def test_it_belongs_to_one_daemon_at_a_time(tmp_path):
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    first.open()
    first.open()
    with pytest.raises(StateFolderInUseError, match=f"{tmp_path} is in use by another daemon"):
        second.open()
    first.close()
    first.close()
    second.open()
    second.close()
