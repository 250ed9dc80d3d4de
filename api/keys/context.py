"""What the routes of keys and tokens work with."""

from dataclasses import dataclass
from typing import Annotated

import asyncpg
from fastapi import Depends, Request

from api.access.access_tokens import AccessTokens
from api.access.key_ring import KeyRing


@dataclass(frozen=True, slots=True)
class KeysContext:
    """What the routes of keys and tokens work with.

    Attributes:
        key_ring: Forgets what it remembers of keys that were changed here.
        bootstrap_token: Makes the first admin key; `None` when nothing does.
        needs_no_first_key: In development an empty table lets the first call through.
    """

    database: asyncpg.Pool
    key_ring: KeyRing
    tokens: AccessTokens
    bootstrap_token: str | None
    needs_no_first_key: bool


async def keys_context(request: Request) -> KeysContext:
    """The context of the process that serves `request`."""
    context: KeysContext = request.app.state.keys
    return context


Keys = Annotated[KeysContext, Depends(keys_context)]
"""What a handler of this room asks for."""
