"""The master key: from `CRONIUM_SECRET_KEY`, or made once in the data folder.

Its id is kept in the database, so that a start with another key stops instead of failing later,
one secret at a time. `seal` and `open` are AES-256-GCM; `purpose` says what the value belongs to
and must be the same at both ends, so that a sealed value cannot be moved to another place.
"""

import asyncio
import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path

from cronium_app.store import meta
from cronium_app.store.database import Database

META_KEY = "master_key_id"
KEY_FILE = "master.key"
KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE = 12


class KeyringError(Exception):
    """The start cannot go on; the message is one or two sentences for the operator."""


class Keyring:
    def __init__(self, key: bytes, source: str) -> None:
        """`source` is where the key is, for people."""
        if len(key) != KEY_BYTES:
            raise KeyringError("The master key must be 32 bytes, written as base64url.")
        self._key = key
        self.source = source
        self.id = hashlib.sha256(b"cronium master key id\0" + key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Keyring(id={self.id})"

    def seal(self, plain: bytes, purpose: str) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 8 MB

        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + AESGCM(self._key).encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises KeyringError when it was sealed with another key or for another purpose."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        if sealed[:1] != _VERSION:
            raise KeyringError("A sealed value has a form that this version does not know.")
        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            return AESGCM(self._key).decrypt(nonce, body, purpose.encode())
        except (InvalidTag, ValueError):
            raise KeyringError("A sealed value cannot be opened with this master key.") from None


async def open_keyring(db: Database, data_dir: Path, secret_key: str | None) -> Keyring:
    """`load`, bound to this database: the id is noted at the first start. Raises KeyringError."""
    async with db.write() as session:
        known = await meta.get(session, META_KEY)
        keyring = await asyncio.to_thread(load, data_dir, secret_key, known)
        if known is None:
            await meta.put(session, META_KEY, keyring.id)
    return keyring


def load(data_dir: Path, secret_key: str | None, known_id: str | None) -> Keyring:
    """The key of this installation. `known_id` is the id in the database, None at the first start.

    Makes a key only when the database knows none. Raises KeyringError.
    """
    path = data_dir / KEY_FILE
    if secret_key:
        keyring = Keyring(_decode(secret_key, "CRONIUM_SECRET_KEY"), "CRONIUM_SECRET_KEY")
    elif path.exists():
        keyring = Keyring(_decode(path.read_text("ascii", "replace"), str(path)), str(path))
    elif known_id is not None:
        raise KeyringError(
            f"The master key {known_id} is missing: put it back at {path}, "
            "or set CRONIUM_SECRET_KEY to it."
        )
    else:
        keyring = _make(path)
    if known_id is not None and keyring.id != known_id:
        raise KeyringError(
            f"The master key in {keyring.source} (id {keyring.id}) is not the one this database "
            f"was made with (id {known_id}). Start with that one."
        )
    return keyring


def _make(path: Path) -> Keyring:
    key = secrets.token_bytes(KEY_BYTES)
    text = base64.urlsafe_b64encode(key).decode() + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Keyring(key, str(path))


def _decode(text: str, source: str) -> bytes:
    text = text.strip()
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyringError(f"The master key in {source} is not 32 bytes of base64url.")
    return key
