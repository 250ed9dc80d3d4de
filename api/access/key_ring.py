"""API keys: made, hashed, looked up and remembered for a moment."""

import asyncio
import datetime as dt
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

import asyncpg
import structlog

from api.access.caller import Caller
from api.metrics import ApiMetrics
from ledger import api_keys
from ledger.api_keys import GoodKey
from runtime.database_errors import DATABASE_ERRORS

T = TypeVar("T")

_log = structlog.get_logger(__name__)

DEMO_KEYS: Final = frozenset({"demo-key", "demo_key"})
DEMO_USER: Final = "operator"
"""Whose wallets the demo key sees: those that `pay402 recipients add` registers unless another user is named."""

_PREFIX_BYTES: Final = 5
_SECRET_BYTES: Final = 32
# Revocation has to be felt within 5 seconds, also where no notification of it arrives.
_REMEMBERED_SECONDS: Final = 3.0
_REMEMBERED_KEYS_MAX: Final = 10_000
# Kept apart from the good ones, so that whoever guesses keys pushes none of those out.
_REMEMBERED_STRANGERS_MAX: Final = 1_000
_FLUSH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. It is shown once; only its hash is stored."""

    key: str
    prefix: str
    hash: str


@dataclass(frozen=True, slots=True)
class _StoredKey:
    caller: Caller
    hash: str

    def is_valid(self) -> bool:
        until = self.caller.valid_until
        return until is None or until > dt.datetime.now(dt.UTC)


def make_key(environment: str) -> NewKey:
    """A key with 256 random bits behind its public prefix."""
    prefix = f"sk_{environment}_{secrets.token_hex(_PREFIX_BYTES)}"
    key = prefix + secrets.token_hex(_SECRET_BYTES)
    return NewKey(key, prefix, hash_key(key))


def hash_key(key: str) -> str:
    """SHA-256, in hexadecimal: for a key with 256 random bits a slow hash would add nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRing:
    """Looks keys up by their hashes; remembers what it found for three seconds, or until `forget` is called."""

    def __init__(self, database: asyncpg.Pool, metrics: ApiMetrics) -> None:
        self._database = database
        self._metrics = metrics
        self._remembered: OrderedDict[str, tuple[float, _StoredKey]] = OrderedDict()
        self._strangers: OrderedDict[str, float] = OrderedDict()
        self._used: dict[str, dt.datetime] = {}

    async def by_key(self, key: str) -> Caller | None:
        """Who holds `key`; `None` when it is unknown, expired or revoked."""
        hashed = hash_key(key)
        stored = await self._find(hashed)
        if stored is None or not hmac.compare_digest(stored.hash, hashed) or not stored.is_valid():
            return None
        self._used[stored.caller.key_prefix] = dt.datetime.now(dt.UTC)
        return stored.caller

    async def by_prefix(self, prefix: str) -> Caller | None:
        """Who holds the key of this prefix, for tokens that were made with it; `None` when it is not good any more."""
        stored = await self._find(prefix)
        return stored.caller if stored is not None and stored.is_valid() else None

    def forget(self) -> None:
        """Keys have changed: ask again."""
        self._remembered.clear()
        self._strangers.clear()

    async def run(self) -> None:
        """Write down when keys were used, now and then, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(_FLUSH_SECONDS)
                await self._flush()
        finally:
            await self._flush()

    async def _find(self, name: str) -> _StoredKey | None:
        """The key of a hash or a prefix."""
        now = time.monotonic()
        if (known := self._remembered.get(name)) is not None and known[0] > now:
            self._metrics.key_cache.labels("hit").inc()
            return known[1]
        if self._strangers.get(name, 0.0) > now:
            self._metrics.key_cache.labels("hit").inc()
            return None
        self._metrics.key_cache.labels("miss").inc()
        found = await api_keys.find_good_key(self._database, name)
        if found is None:
            self._remembered.pop(name, None)
            _remember(self._strangers, name, now + _REMEMBERED_SECONDS, _REMEMBERED_STRANGERS_MAX)
            return None
        stored = _stored(found)
        _remember(self._remembered, name, (now + _REMEMBERED_SECONDS, stored), _REMEMBERED_KEYS_MAX)
        return stored

    async def _flush(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await api_keys.note_key_use(self._database, used)
        except DATABASE_ERRORS as error:
            self._used = used | self._used
            self._metrics.troubles.note("noting the use of keys", error)


def _remember(memory: OrderedDict[str, T], name: str, value: T, count_max: int) -> None:
    """Put `value` last; what was put first goes when there are more than `count_max`."""
    memory[name] = value
    memory.move_to_end(name)
    if len(memory) > count_max:
        memory.popitem(last=False)


def _stored(found: GoodKey) -> _StoredKey:
    caller = Caller(
        user_id=found.user_id,
        permissions=found.permissions,
        environment=found.environment,
        key_prefix=found.key_prefix,
        final_only=found.final_only,
        proof_version=found.proof_version,
        valid_until=found.valid_until,
    )
    return _StoredKey(caller, found.key_hash)
