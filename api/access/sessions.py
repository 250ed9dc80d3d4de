"""Sessions of the console: a browser that has shown an API key once. This module owns `sessions.sql`.

A session is no more than the name of its key. What it may do is looked up with the key at each request, so it ends
within seconds when the key is revoked or expires, and at once when the key is replaced by another.
"""

import hashlib
import secrets
from typing import Final

import asyncpg

from ledger.sql import load_queries

_queries = load_queries("api.access", "sessions.sql")

SESSION_SECONDS: Final = 4 * 60 * 60
"""How long a session lasts, whatever is done with it."""
_TOKEN_BYTES: Final = 32
# More than one person has browsers; a program that signs in again and again fills no table.
_SESSIONS_OF_KEY_MAX: Final = 50


class Sessions:
    """The sessions of every process, in the database; only the hash of what a browser holds is stored."""

    def __init__(self, database: asyncpg.Pool) -> None:
        self._database = database

    async def begin(self, key_prefix: str) -> str:
        """Begin a session with the key of this prefix; returns what its browser has to send. It is always a new one."""
        session = secrets.token_urlsafe(_TOKEN_BYTES)
        await _queries.begin_session(
            self._database,
            token_hash=_hash(session),
            key_prefix=key_prefix,
            seconds=float(SESSION_SECONDS),
            others_max=_SESSIONS_OF_KEY_MAX - 1,
        )
        return session

    async def key_of(self, session: str) -> str | None:
        """The prefix of the key that a session was begun with; `None` for one that has ended or never was."""
        prefix: str | None = await _queries.key_of_session(self._database, token_hash=_hash(session))
        return prefix

    async def end(self, session: str) -> None:
        """End a session, if it is one."""
        await _queries.end_session(self._database, token_hash=_hash(session))


def _hash(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()
