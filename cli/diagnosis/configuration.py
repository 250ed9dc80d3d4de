"""The environment: complete, with secrets that cannot be guessed and with exact origins."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from cli.diagnosis.diagnoses import Diagnosis, bad, doubtful, good
from runtime.settings import SECRET_CHARACTERS_MIN

# What `openssl rand -hex 16` reaches and a sentence or a repeated word does not.
_SECRET_BITS: Final = 96.0
_PLACEHOLDER: Final = re.compile(
    r"change.?me|your|secret|password|example|placeholder|default|<|>|\.\.\.", re.IGNORECASE
)
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


def secret(name: str, value: str | None, *, needed: bool) -> Iterator[Diagnosis]:
    """Whether a secret is there, long and random; its value is never shown."""
    remedy = f"set {name} to what `openssl rand -hex 32` prints"
    if not value:
        if needed:
            yield bad("secrets", name, "it is not set", remedy)
        return
    if reason := weakness(value):
        yield bad("secrets", name, reason, remedy)
    else:
        yield good("secrets", name, f"{len(value)} characters")


def weakness(value: str) -> str | None:
    """What makes a secret guessable, or None."""
    if len(value) < SECRET_CHARACTERS_MIN:
        return f"it has {len(value)} characters, but {SECRET_CHARACTERS_MIN} are the least"
    if _PLACEHOLDER.search(value):
        return "it looks like a placeholder"
    counts = Counter(value)
    bits = -sum(count * math.log2(count / len(value)) for count in counts.values())
    # Every text is found in two copies of itself one length on; one made of repetitions is found earlier.
    if bits < _SECRET_BITS or (value + value).find(value, 1) < len(value):
        return "it is not random"
    return None


def origins(value: str | None, *, production: bool) -> Iterator[Diagnosis]:
    """Whether browsers are let in from exact, encrypted origins only."""
    listed = [origin.strip().removesuffix("/") for origin in (value or "").split(",") if origin.strip()]
    if not listed:
        if production:
            remedy = "set ALLOWED_ORIGINS to the dashboard's origin, such as https://dashboard.example.com"
            yield bad("cors", "ALLOWED_ORIGINS", "it is not set", remedy)
        return
    found = list(filter(None, (_flaw(origin, production) for origin in listed)))
    if found:
        yield bad("cors", "ALLOWED_ORIGINS", "; ".join(found), "name each origin exactly, as https://host")
    else:
        yield good("cors", "ALLOWED_ORIGINS", ", ".join(listed))


def _flaw(origin: str, production: bool) -> str | None:
    parts = urlsplit(origin)
    if "*" in origin:
        return f"{origin} is a wildcard"
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path or parts.query:
        return f"{origin} is no origin"
    if production and parts.scheme != "https":
        return f"{origin} is not encrypted"
    return None


def encryption(name: str, url: str, *, encrypted: bool, production: bool) -> Iterator[Diagnosis]:
    """Whether what crosses a network is encrypted."""
    host = urlsplit(url).hostname
    if not production or encrypted or host is None or host in _LOOPBACK:
        return
    remedy = {
        "DATABASE_URL": "add ?sslmode=verify-full to DATABASE_URL",
        "REDIS_URL": "use rediss:// in REDIS_URL",
    }.get(name, f"use https:// in {name}")
    yield doubtful("settings", name, "the connection is not encrypted", f"{remedy}, unless the network is private")
