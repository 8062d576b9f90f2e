import base64
import os

import pytest

from cronium_app.security.keyring import KEY_FILE, KeyringError, load, open_keyring

KEY = base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")
OTHER = base64.urlsafe_b64encode(b"o" * 32).decode()


def test_a_key_is_made_once_for_its_owner_alone(tmp_path):
    made = load(tmp_path, None, None)
    path = tmp_path / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(tmp_path, None, made.id).id == made.id
    assert made.id not in path.read_text()
    assert path.read_text().strip() not in repr(made)


async def test_the_database_remembers_which_key(db, tmp_path):
    made = await open_keyring(db, tmp_path, None)
    assert (await open_keyring(db, tmp_path, None)).id == made.id
    with pytest.raises(KeyringError, match="not the one"):
        await open_keyring(db, tmp_path, OTHER)
    os.remove(tmp_path / KEY_FILE)
    with pytest.raises(KeyringError, match="missing"):
        await open_keyring(db, tmp_path, None)
    assert not (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize("text", ["x", "é", KEY[:-1] + "x" * 3, "=" * 43, " " * 43])
def test_what_is_no_key_stops_the_start(tmp_path, text):
    with pytest.raises(KeyringError):
        load(tmp_path, text, None)


def test_a_value_opens_only_with_its_key_and_purpose(tmp_path):
    keyring = load(tmp_path, KEY, None)
    sealed = keyring.seal(b"secret", "user:1")
    assert b"secret" not in sealed
    assert sealed != keyring.seal(b"secret", "user:1")
    assert keyring.open(sealed, "user:1") == b"secret"
    other = load(tmp_path, OTHER, None)
    for ring, value, purpose in (
        (keyring, sealed, "user:2"),
        (other, sealed, "user:1"),
        (keyring, sealed[:-1], "user:1"),
        (keyring, sealed[:-1] + b"\0", "user:1"),
        (keyring, b"", "user:1"),
        (keyring, b"\x02" + sealed[1:], "user:1"),
    ):
        with pytest.raises(KeyringError):
            ring.open(value, purpose)
