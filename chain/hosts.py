"""What may be shown of a node's address."""

from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """The host of an endpoint, which is all of it that may be shown: paths and queries of URLs carry API keys."""
    try:
        return urlsplit(url).hostname or "unknown"
    except ValueError:
        return "unknown"
