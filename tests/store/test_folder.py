"""One server to a data folder."""

import os

import pytest

from cronium_app.store.folder import FolderInUse, FolderLock, FolderUnusable, server_id


def test_a_second_server_is_told_who_the_first_is(tmp_path):
    first = FolderLock(tmp_path / "data")
    first.announce("http://127.0.0.1:8080")
    with pytest.raises(FolderInUse) as caught:
        FolderLock(tmp_path / "data")
    assert f"process {os.getpid()}" in str(caught.value)
    assert "http://127.0.0.1:8080" in str(caught.value)
    first.release()
    FolderLock(tmp_path / "data").release()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="cannot be used"):
        FolderLock(tmp_path / "file" / "data")


def test_the_server_keeps_its_id(tmp_path):
    assert server_id(tmp_path) == server_id(tmp_path)


def test_a_folder_that_was_open_to_all_is_closed(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    FolderLock(folder).release()
    assert folder.stat().st_mode & 0o777 == 0o700
