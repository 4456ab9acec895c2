"""`relay hash-password`: what stands in the settings instead of a password."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from relay.cli import out
from relay.errors import RefusedError

_SHORTEST = 12


def hash_password(
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the password from standard input, one line.")] = False,
    as_json: out.AsJson = False,
) -> None:
    """Print the Argon2id hash of a password, for `password` of a user in the settings.

    The password is asked for twice and not shown; it is never taken from the command line, where others could see it.

    \b
    Examples:
      relay hash-password
      printf %s "$PASSWORD" | relay hash-password --stdin
    """
    from relay.web.passwords import LONGEST
    from relay.web.passwords import hash_password as made

    if stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    if not _SHORTEST <= len(password) <= LONGEST:
        raise RefusedError(f"a password has {_SHORTEST} to {LONGEST} characters: a sentence is easy to remember")
    hash_ = made(password)
    if as_json:
        out.json_out({"hash": hash_})
        return
    typer.echo(hash_)
    out.say("put it into the settings in single quotes, since $ is in it:  [users.NAME]  password = '...'")
