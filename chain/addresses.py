"""Addresses as people type them."""

from solders.pubkey import Pubkey


def parse_address(text: str) -> str | None:
    """`text` as a canonical address, or `None` when it is not 32 bytes in base58."""
    try:
        return str(Pubkey.from_string(text.strip()))
    except ValueError:
        return None
