"""Passwords of users, as Argon2id hashes; a check takes as long for a name that nobody has."""

from __future__ import annotations

import asyncio

import argon2

_HASHER = argon2.PasswordHasher()
# Of nothing that anybody knows, with the parameters above.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$nLlascjkhuDs/WYe6G7Yug$3lJmPh3YlyaGskjryEJm9xnWdss4ZbDu0CpsHIPNgxY"
LONGEST = 1024
"""Characters of a password; more is refused before any work is done for it."""


def hash_password(password: str) -> str:
    """The hash for the settings."""
    return _HASHER.hash(password)


class Passwords:
    """Checks passwords off the event loop, two at a time: each takes 64 MB for a twentieth of a second."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(2)

    async def fits(self, password: str, hash_: str | None) -> bool:
        """Whether a password is the one of this hash; without a hash False, after the same work."""
        if len(password) > LONGEST:
            return False
        async with self._turn:
            is_it = await asyncio.to_thread(_verify, hash_ or _NOBODY, password)
        return is_it and hash_ is not None


def _verify(hash_: str, password: str) -> bool:
    try:
        return _HASHER.verify(hash_, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
