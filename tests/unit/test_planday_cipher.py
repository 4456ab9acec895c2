"""Tokens are encrypted at rest, and keys can be exchanged."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from relay.errors import ConfigError
from relay.store.cipher import KEY_FILE, FernetCipher, Seal, sealed

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_what_is_encrypted_comes_back() -> None:
    """And cannot be read without a key."""
    cipher = FernetCipher.from_text(NEW)
    stored = cipher.encrypt("a token")
    assert "token" not in stored
    assert cipher.decrypt(stored) == "a token"


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    """While keys are exchanged both sides read on."""
    old, both, new = (FernetCipher.from_text(text) for text in (OLD, f"{NEW}, {OLD}", NEW))
    assert both.decrypt(old.encrypt("x")) == "x"
    assert new.decrypt(both.encrypt("x")) == "x"
    assert new.decrypt(old.encrypt("x")) is None
    assert new.decrypt("garbage") is None
    assert new.decrypt("é") is None


def test_a_fingerprint_is_keyed_and_outlives_an_exchange_of_keys() -> None:
    """The same secret is recognised under every key; another secret, or without our key, it is not."""
    old, both, new = (FernetCipher.from_text(text) for text in (OLD, f"{NEW},{OLD}", NEW))
    assert both.matches("token", old.fingerprint("token"))
    assert both.fingerprint("token") == new.fingerprint("token")
    assert not both.matches("other", old.fingerprint("token"))
    assert not new.matches("token", old.fingerprint("token"))
    assert not new.matches("token", "")


@pytest.mark.parametrize(
    "text",
    ["", " , ", "short", NEW + "," + "bm90IDMyIGJ5dGVz", "é" * 44],
    ids=["nothing", "a comma alone", "too short", "the second too short", "not base64"],
)
def test_an_unusable_key_is_named_by_its_place_only(text: str) -> None:
    """The value itself is most likely the secret."""
    with pytest.raises(ConfigError) as caught:
        FernetCipher.from_text(text)
    assert str(caught.value).startswith("RELAY_ENCRYPTION_KEYS: ")
    assert "bm90" not in str(caught.value)
    assert "short" not in str(caught.value)


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    """Mode 0600, in a folder that need not exist yet, and the next start reads the same key."""
    folder = tmp_path / "data"
    stored = FernetCipher.load_or_make(folder).encrypt("x")
    assert FernetCipher.load_or_make(folder).decrypt(stored) == "x"
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_two_that_start_at_once_end_with_one_key(tmp_path: Path) -> None:
    """Otherwise one of them would write what the other cannot read."""
    ciphers: list[FernetCipher] = []
    threads = [threading.Thread(target=lambda: ciphers.append(FernetCipher.load_or_make(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({cipher.fingerprint("x") for cipher in ciphers}) == 1


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """With the remedy in the message."""
    FernetCipher.load_or_make(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        FernetCipher.load_or_make(tmp_path)


def test_a_key_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A clear line instead of a traceback."""
    (tmp_path / KEY_FILE).mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="cannot be used"):
        FernetCipher.load_or_make(tmp_path)


def test_a_sealed_text_opens_for_the_one_who_asked() -> None:
    """Each question has a key of its own; the same text never looks the same."""
    seal, other = Seal(), Seal()
    closed = sealed("whsec_a", seal.public)
    assert seal.open(closed) == "whsec_a"
    assert "whsec_a" not in closed
    assert closed != sealed("whsec_a", seal.public)
    with pytest.raises(ValueError, match="somebody else"):
        other.open(closed)
    with pytest.raises(ValueError, match="somebody else"):
        seal.open(closed[:-4] + "AAAA")
    for nonsense in ("", "x", "whsec_a"):
        with pytest.raises(ValueError):
            sealed("whsec_a", nonsense)
