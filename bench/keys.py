"""API keys for measurements."""

from typing import Any

from api.access.key_ring import make_key
from ledger.api_keys import NewApiKey, add_key


async def new_key(database: Any, user: str, *permissions: str) -> str:
    """Make an API key of `user` with `permissions`."""
    new = make_key("live")
    await add_key(database, NewApiKey(new.prefix, new.hash, user, "bench", "live", permissions))
    return new.key
