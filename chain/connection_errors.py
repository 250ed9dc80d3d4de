"""What may be said of a connection that failed."""

import aiohttp


def reason_of(error: BaseException) -> str:
    """Why a connection failed, without the URL that some of aiohttp's errors print."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP {error.status}"
    if isinstance(error, aiohttp.InvalidURL):
        return "its URL is not valid"
    return str(error) or type(error).__name__
