"""Encrypts what is kept of tokens and secrets: Fernet with several keys, so that keys can be exchanged.

A seal is for what is only passed on: one process closes it so that nobody but the process that asked can open it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.errors import ConfigError, Fault

KEY_FILE = "encryption.key"


def new_key() -> str:
    """A fresh key, in the form that `FernetCipher.from_text` reads."""
    return Fernet.generate_key().decode()


class FernetCipher:
    """The first key encrypts, all decrypt."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        # Another use of the same secret gets a key of its own.
        self._prints = [hashlib.blake2b(b"planday-relay fingerprint", key=key).digest() for key in map(_raw, keys)]

    @classmethod
    def from_text(cls, text: str, *, where: str = "RELAY_ENCRYPTION_KEYS") -> FernetCipher:
        """Keys separated by commas, each 32 bytes in URL-safe base64; an unusable one is named by its place only."""
        keys = [part.strip().encode() for part in text.split(",") if part.strip()]
        faults = [
            Fault(where, f"key {at} is not 32 bytes in base64") for at, key in enumerate(keys, 1) if not _fits(key)
        ]
        if faults or not keys:
            raise ConfigError(faults or [Fault(where, "holds no key")])
        return cls(keys)

    @classmethod
    def load_or_make(cls, data_dir: Path) -> FernetCipher:
        """The key of the embedded store's data folder, made once and readable by its owner only."""
        path = data_dir / KEY_FILE
        try:
            if not path.exists():
                _make(path)
            if path.stat().st_mode & 0o077:
                raise ConfigError([Fault(str(path), "others can read this key: run chmod 600 on it")])
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([Fault(str(path), f"cannot be used ({type(error).__name__})")]) from error
        return cls.from_text(text, where=str(path))

    def encrypt(self, text: str) -> str:
        """A text that only our keys open."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str | None:
        """The text, or None if no key of ours fits."""
        try:
            return self._fernet.decrypt(stored.encode()).decode()
        except (InvalidToken, ValueError):
            return None

    def fingerprint(self, text: str) -> str:
        """A keyed hash under the first key, to see later whether a secret is still the same."""
        return _print(self._prints[0], text)

    def matches(self, text: str, fingerprint: str) -> bool:
        """Whether any key of ours gives this fingerprint."""
        return any(hmac.compare_digest(_print(key, text), fingerprint) for key in self._prints)


class Seal:
    """A key pair for one question; its private half never leaves the process that asks."""

    def __init__(self) -> None:
        self._own = X25519PrivateKey.generate()

    @property
    def public(self) -> str:
        """What whoever answers closes the answer with."""
        return _encoded(self._own.public_key())

    def open(self, closed: str) -> str:
        """What was closed by `sealed` for this seal. Raises ValueError for anything else."""
        other, _, box = closed.partition(".")
        try:
            return _shared(self._own, other).decrypt(box.encode()).decode()
        except InvalidToken:
            raise ValueError("this was closed for somebody else") from None


def sealed(text: str, public: str) -> str:
    """A text that only the seal with this public half opens. Raises ValueError for what is no public half."""
    own = X25519PrivateKey.generate()
    return f"{_encoded(own.public_key())}.{_shared(own, public).encrypt(text.encode()).decode()}"


def _shared(own: X25519PrivateKey, other: str) -> Fernet:
    secret = own.exchange(X25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(other)))
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"planday-relay seal").derive(secret)
    return Fernet(base64.urlsafe_b64encode(key))


def _encoded(key: X25519PublicKey) -> str:
    return base64.urlsafe_b64encode(key.public_bytes_raw()).decode()


def _print(key: bytes, text: str) -> str:
    return hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest()


def _raw(key: bytes) -> bytes:
    return base64.b64decode(key, altchars=b"-_", validate=True)


def _fits(key: bytes) -> bool:
    try:
        return len(_raw(key)) == 32
    except binascii.Error:
        return False


def _make(path: Path) -> None:
    """Write it beside its place and link it there: of two processes that start at once, one wins whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(new_key().encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(fresh)
    finally:
        fresh.unlink()
