"""Redis: reachable, with a password, and not set to drop keys when it is full."""

from typing import Any, Final
from urllib.parse import urlsplit

import redis.asyncio
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, RedisError

from cli.diagnosis import configuration
from cli.diagnosis.diagnoses import Diagnosis, bad, doubtful, good
from runtime.logging import scrub

_SECONDS: Final = 5.0
_OLDEST: Final = 7
_PROBE_KEY: Final = "pay402:doctor"
_PROBE_MILLISECONDS: Final = 10_000


async def examine(url: str, *, production: bool) -> list[Diagnosis]:
    """Every diagnosis about the server at `url`. It holds nothing of value, but the worker's schedule waits for it."""
    parts = urlsplit(url)
    # The library's own types leave this one out.
    open_client: Any = redis.asyncio.from_url
    client = open_client(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
    try:
        await client.ping()
        writes = await _writes(client)
        server = await client.info("server")
        memory = await client.info("memory")
    except NoPermissionError as error:
        return [_no_rights(error)]
    except (RedisError, OSError, ValueError) as error:
        reason = scrub(str(error)).rstrip(".") or type(error).__name__
        return [bad("redis", "ping", reason, "start it, or correct REDIS_URL")]
    finally:
        await client.aclose()
    found = [_version(server), writes]
    found += configuration.encryption("REDIS_URL", url, encrypted=parts.scheme == "rediss", production=production)
    if production and parts.scheme != "unix" and not parts.password:
        remedy = "set requirepass or an ACL, and put the password into REDIS_URL"
        found.append(bad("redis", "password", "it takes commands from anybody", remedy))
    policy = memory.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        found.append(good("redis", "eviction", "noeviction"))
    else:
        remedy = "set maxmemory-policy noeviction: the worker's jobs and shared limits must not be dropped for room"
        found.append(doubtful("redis", "eviction", f"the policy is {policy}", remedy))
    return found


async def _writes(client: Any) -> Diagnosis:
    """Do what rate limits and the worker's schedule do: write, run a script, forget again."""
    try:
        await client.set(_PROBE_KEY, "1", px=_PROBE_MILLISECONDS)
        await client.zadd(f"{_PROBE_KEY}:queue", {"1": 1})
        await client.eval("return redis.call('incrby', KEYS[1], 1)", 1, _PROBE_KEY)
        await client.delete(_PROBE_KEY, f"{_PROBE_KEY}:queue")
    except NoPermissionError as error:
        return _no_rights(error)
    except OutOfMemoryError:
        remedy = "raise maxmemory, or remove what others keep there"
        return bad("redis", "writes", "it is full and takes no more", remedy)
    except ReadOnlyError:
        return bad("redis", "writes", "it is a replica and takes no writes", "give REDIS_URL of the primary")
    return good("redis", "writes", "it takes writes and runs scripts")


def _no_rights(error: Exception) -> Diagnosis:
    return bad("redis", "writes", scrub(str(error)).rstrip("."), "give the user of REDIS_URL the rights +@all ~* &*")


def _version(server: dict[str, str]) -> Diagnosis:
    name = "Valkey" if "valkey_version" in server else "Redis"
    version = str(server.get("valkey_version") or server.get("redis_version", "0"))
    detail = f"{name} {version} answers"
    if int(version.partition(".")[0]) < _OLDEST:
        return bad("redis", "ping", detail, f"use Redis {_OLDEST} or newer, or Valkey")
    return good("redis", "ping", detail)
