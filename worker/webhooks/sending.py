"""One try of one delivery: a POST that follows no redirect, with bounds on its time and on the answer's size."""

import datetime as dt
import email.utils
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import aiohttp

from chain.backoff import Backoff
from ledger.feed import entry_id
from ledger.webhooks import DueDelivery, EndedTry, SigningKeys
from runtime.receiver_addresses import ForbiddenReceiverError, PublicResolver, check_url
from runtime.receiver_policy import ReceiverPolicy
from runtime.webhook_signatures import signed_headers

ANSWER_BYTES_MAX: Final = 1_024
"""How much of an answer is read and stored; whoever sends more is hung up on."""
_BACKOFF: Final = Backoff(5.0, 8 * 3_600.0, grows=3.0, jitter=0.2)
_WISH_SECONDS_MAX: Final = 24 * 3_600.0
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "402pay-webhooks/1"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a receiver may take for everything, and for how long a delivery is tried again."""

    answer_seconds: float
    retry_seconds_max: float


@dataclass(frozen=True, slots=True)
class Answered:
    """What a receiver answered, or why it did not."""

    status: int | None
    start: str | None
    error: str | None
    retry_after_seconds: float | None = None


@asynccontextmanager
async def open_session(policy: ReceiverPolicy, *, connections_max: int) -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose connections go to allowed addresses alone, with TLS verified, no proxies, no cookies."""
    connector = aiohttp.TCPConnector(
        resolver=PublicResolver(policy), use_dns_cache=False, limit=connections_max, keepalive_timeout=30.0
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers=_HEADERS,
    ) as session:
        yield session


async def send(
    session: aiohttp.ClientSession,
    delivery: DueDelivery,
    keys: Sequence[SigningKeys],
    policy: ReceiverPolicy,
    patience: Patience,
) -> tuple[EndedTry, bool]:
    """Try a delivery, signed with `keys`.

    Returns:
        What came of it, and whether its receiver says that it is gone for good.
    """
    began_at = time.monotonic()
    answered = await _post(session, delivery, keys, policy, patience)
    answer_ms = round((time.monotonic() - began_at) * 1000)
    return _ended(delivery, answered, patience, answer_ms), answered.status == HTTPStatus.GONE


def not_sent(delivery: DueDelivery, patience: Patience) -> EndedTry:
    """A try that a defect of ours has ended before anything was sent."""
    answered = Answered(None, None, "It could not be sent, by a defect of pay402.")
    return replace(_ended(delivery, answered, patience, 0), is_ours=True)


def _ended(delivery: DueDelivery, answered: Answered, patience: Patience, answer_ms: int) -> EndedTry:
    is_good = answered.status is not None and HTTPStatus.OK <= answered.status < HTTPStatus.MULTIPLE_CHOICES
    pause_seconds = 0.0 if is_good else pause_before(delivery.tries + 1, answered.retry_after_seconds)
    is_over = delivery.age_seconds + pause_seconds > patience.retry_seconds_max
    return EndedTry(
        webhook_id=delivery.webhook_id,
        feed_id=delivery.feed_id,
        status="delivered" if is_good else "failed" if is_over else "pending",
        pause_seconds=pause_seconds,
        answer_status=answered.status,
        answer_start=answered.start,
        answer_ms=answer_ms,
        error=answered.error,
    )


def pause_before(attempt: int, retry_after_seconds: float | None = None) -> float:
    """How long to wait before this attempt, from the second on; never less than the receiver asked for."""
    return max(_BACKOFF.after(attempt - 2), min(retry_after_seconds or 0.0, _WISH_SECONDS_MAX))


async def _post(
    session: aiohttp.ClientSession,
    delivery: DueDelivery,
    keys: Sequence[SigningKeys],
    policy: ReceiverPolicy,
    patience: Patience,
) -> Answered:
    body = delivery.body.encode()
    headers = signed_headers(
        entry_id(delivery.feed_id),
        int(time.time()),
        body,
        secret_keys=[one.secret for one in keys],
        seeds=[one.signing_seed for one in keys],
    )
    try:
        # An address that is written as numbers is asked of no resolver.
        check_url(delivery.url, policy)
        timeout = aiohttp.ClientTimeout(total=patience.answer_seconds)
        async with session.post(
            delivery.url, data=body, headers=headers, allow_redirects=False, timeout=timeout
        ) as response:
            start = await _start_of(response)
            return Answered(response.status, start, _complaint(response.status), _wish(response.headers))
    except ForbiddenReceiverError as error:
        return Answered(None, None, str(error))
    except TimeoutError:
        return Answered(None, None, f"It did not answer within {patience.answer_seconds:g} s.")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # By its kind alone: the text of an error may hold what the receiver has sent.
        return Answered(None, None, _sentence_of(error))


async def _start_of(response: aiohttp.ClientResponse) -> str:
    """The first bytes of an answer. One that is longer costs its connection."""
    data = b""
    while len(data) < ANSWER_BYTES_MAX:
        chunk = await response.content.read(ANSWER_BYTES_MAX - len(data))
        if not chunk:
            return _text(data)
        data += chunk
    if not response.content.at_eof():
        response.close()
    return _text(data)


def _text(data: bytes) -> str:
    # Postgres stores every character but NUL.
    return data.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _complaint(status: int) -> str | None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"It answered {status}; redirects are not followed."
    return f"It answered {status}."


def _wish(headers: Mapping[str, str]) -> float | None:
    """Retry-After, in seconds from now: a number, or a date."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit() and len(value) <= len("31536000"):
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
        at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
        return max((at - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError):
        # A date beyond what dates can say is none.
        return None


def _sentence_of(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "Its TLS certificate is not good."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # What the resolver refuses arrives wrapped, as whatever a connection fails by.
        return str(cause) if isinstance(cause := error.__cause__, ForbiddenReceiverError) else "Its host is not known."
    if isinstance(error, aiohttp.ClientConnectorError):
        return "It cannot be connected to."
    return f"The connection failed ({type(error).__name__})."
