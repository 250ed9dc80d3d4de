"""What may be shown of an address that holds a password or a key."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

UNKNOWN: Final = "unknown"
"""What is shown instead of a host that cannot be told from a piece of a password."""


def clear_parts(url: str) -> SplitResult | None:
    """The parts of an address, or `None` where nobody can say which of them is the host.

    A / # or ? in a password ends what is taken for host and port, and the @ before the host stands after it. A path
    may hold an @ of its own where a user and a port stand before it.
    """
    try:
        parts = urlsplit(url)
        # Reading the port checks it; no name that DNS can be asked for fails here, as a piece of a password may.
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    is_path_its_own = "@" in parts.netloc and port is not None
    if not parts.scheme or "#" in url:
        return None
    return parts if is_path_its_own or "@" not in f"{parts.path}{parts.query}" else None


def host_of(url: str) -> str:
    """The host of an endpoint, which is all of it that may be shown: paths and queries of URLs carry API keys."""
    parts = clear_parts(url)
    return (parts.hostname if parts is not None else None) or UNKNOWN
