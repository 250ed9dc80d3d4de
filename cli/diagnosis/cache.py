"""Redis: reachable, with a password, and not set to forget what it was told to keep."""

from typing import Any, Final
from urllib.parse import urlsplit

import redis.asyncio
from redis.exceptions import RedisError

from cli.diagnosis import configuration
from cli.diagnosis.findings import Finding, bad, doubtful, good
from runtime.logging import scrub

_SECONDS: Final = 5.0
_OLDEST: Final = 7


async def examine(url: str, *, production: bool) -> list[Finding]:
    """Every finding about the server at `url`. Nothing of value is lost with it, but the worker's schedule waits."""
    parts = urlsplit(url)
    # The library's own types leave this one out.
    open_client: Any = redis.asyncio.from_url
    client = open_client(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
    try:
        await client.ping()
        told = await client.info("server")
        memory = await client.info("memory")
    except (RedisError, OSError, ValueError) as error:
        reason = scrub(str(error)).rstrip(".") or type(error).__name__
        return [bad("redis", "ping", reason, "start it, or correct REDIS_URL")]
    finally:
        await client.aclose()
    found = [_version(told)]
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


def _version(told: dict[str, str]) -> Finding:
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = str(told.get("valkey_version") or told.get("redis_version", "0"))
    detail = f"{name} {version} answers"
    if int(version.partition(".")[0]) < _OLDEST:
        return bad("redis", "ping", detail, f"use Redis {_OLDEST} or newer, or Valkey")
    return good("redis", "ping", detail)
