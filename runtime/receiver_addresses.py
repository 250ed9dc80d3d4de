"""Which network addresses a webhook may reach: nobody may use one to reach machines that only we can reach.

An address is checked when it is registered, for a quick refusal, and again each time that a connection is made, by the
connection's own resolver: what a name means can change in between.
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from runtime.receiver_policy import ReceiverPolicy

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_CHARACTERS_MAX: Final = 2_048
_HTTPS_PORT: Final = 443
_FIRST_UNPRIVILEGED_PORT: Final = 1_024
# Networks of IPv6 in which an address of IPv4 is written, which is where packets to it may end.
_TRANSLATED: Final = tuple(
    map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96"))
)


class ForbiddenReceiverError(Exception):
    """A webhook may not go there. Its text is a sentence that says why and what to do."""


def check_url(url: str, policy: ReceiverPolicy) -> None:
    """Refuse a URL that is none for a webhook, before anything is asked about its name.

    Raises:
        ForbiddenReceiverError: With the sentence for whoever sent it.
    """
    if len(url) > URL_CHARACTERS_MAX or any(not "!" <= character <= "~" for character in url) or "\\" in url:
        raise ForbiddenReceiverError(
            f"A webhook's URL has at most {URL_CHARACTERS_MAX} printable ASCII characters; give such a one."
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ForbiddenReceiverError("The URL cannot be read; give one as https://shop.example/hooks.") from None
    schemes = {"https"} if policy is ReceiverPolicy.PUBLIC else {"https", "http"}
    if parts.scheme not in schemes or not host:
        raise ForbiddenReceiverError("A webhook's URL begins with https:// and names a host; give such a one.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ForbiddenReceiverError("A webhook's URL has neither a user nor a fragment; take them out.")
    if policy is ReceiverPolicy.PUBLIC and port not in {None, _HTTPS_PORT} and (port or 0) < _FIRST_UNPRIVILEGED_PORT:
        raise ForbiddenReceiverError("A webhook's port is 443 or at least 1024; use such a one.")
    if (address := _parsed(host)) is not None:
        check_address(address, policy)


async def check_receiver(url: str, policy: ReceiverPolicy) -> None:
    """Refuse a URL that no delivery would be made to now: see `check_url`, and what its name means is looked up.

    Raises:
        ForbiddenReceiverError: With the sentence for whoever sent it.
    """
    check_url(url, policy)
    host = urlsplit(url).hostname or ""
    try:
        await PublicResolver(policy).resolve(host, 0, socket.AF_UNSPEC)
    except ForbiddenReceiverError:
        raise
    except OSError:
        raise ForbiddenReceiverError("The host of the URL is not known to the DNS; correct it.") from None


def check_address(address: _Address, policy: ReceiverPolicy) -> None:
    """Refuse an address that deliveries may not go to.

    Raises:
        ForbiddenReceiverError: It is private, of this machine, or of no single machine.
    """
    address = getattr(address, "ipv4_mapped", None) or address
    is_allowed = {
        ReceiverPolicy.ANY: not address.is_multicast,
        ReceiverPolicy.LOOPBACK_TOO: _is_public(address) or address.is_loopback,
        ReceiverPolicy.PUBLIC: _is_public(address),
    }[policy]
    if not is_allowed:
        raise ForbiddenReceiverError("The URL leads to an address that is not public; use one that is.")


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _TRANSLATED):
        return False
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or is_site_local)


def _parsed(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


class PublicResolver(AbstractResolver):
    """Resolves names for a connection, and gives out nothing where one of the addresses may not be reached.

    The connection is made to the addresses that were checked, so nothing can change in between.
    """

    def __init__(self, policy: ReceiverPolicy, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises ForbiddenReceiverError, or OSError where there is none."""
        found: Sequence[ResolveResult] = await self._resolver.resolve(host, port, family)
        for one in found:
            if (address := _parsed(one["host"])) is None:
                raise ForbiddenReceiverError("The URL leads to an address that cannot be read; use another.")
            check_address(address, self._policy)
        return list(found)

    async def close(self) -> None:
        """Nothing is held open."""
        await self._resolver.close()
