"""Reference keys: what a transfer carries so that it is known which request or payout it was made for."""

import secrets
from typing import Final

from solders.pubkey import Pubkey

_BYTES: Final = 32


def fresh_reference() -> str:
    """32 random bytes as an address: no secret key of it exists, nobody can guess it, and no transaction names it."""
    return str(Pubkey(secrets.token_bytes(_BYTES)))
