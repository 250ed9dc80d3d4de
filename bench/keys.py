"""API keys for measurements."""

from typing import Any

from api.access.key_ring import make_key
from ledger.sql import load_queries


async def new_key(database: Any, user: str, *permissions: str) -> str:
    """Make an API key of `user` with `permissions`."""
    new = make_key("live")
    await load_queries("ledger", "api_keys.sql").add_key(
        database,
        key_prefix=new.prefix,
        key=new.hash,
        user_id=user,
        name="bench",
        environment="live",
        permissions=list(permissions),
        final_only=False,
        expires_at=None,
        only_first="no",
    )
    return new.key
