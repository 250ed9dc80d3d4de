"""JSON-RPC over one or several endpoints of the same cluster.

A call goes to the best endpoint that is not resting; one that fails rests for a while and the next is asked.
Retryable and permanent failures are different types. Requests are sent one by one: batches are not accepted
everywhere.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Generic, Self, TypeVar

import aiohttp
import msgspec
import stamina
from aiolimiter import AsyncLimiter

from chain.agreement import WITNESSES, agreeing_min
from chain.backoff import Backoff, retry_after_seconds
from chain.connection_errors import reason_of
from chain.hosts import host_of

T = TypeVar("T")

# Every retry shows in the metrics of whoever passes `on_call`; one log line each would drown the rest.
stamina.instrumentation.set_on_retry_hooks([])


class RpcError(Exception):
    """A node, or every node, failed to answer a call."""

    def __init__(self, message: str, *, code: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    @property
    def is_refusal(self) -> bool:
        """True when a node answered that it will not do this, be it with a code of its own.

        False where it only cannot do so now: out of reach, behind, broken, or asked too often.
        """
        return self.code is not None and self.code < 0 and self.code not in _UNWELL_CODES

    @property
    def is_before_context_slot(self) -> bool:
        """True when the node has not reached the `minContextSlot` of the question."""
        return self.code == _CONTEXT_SLOT_NOT_REACHED


class RetryableRpcError(RpcError):
    """Asking again, or asking another node, may succeed."""


class PermanentRpcError(RpcError):
    """The same question will get the same answer."""


_REST: Final = Backoff(0.05, 5.0)

# Source: the custom errors of the JSON-RPC service of Agave. These say that the question itself is wrong, or
# that every node answers it alike. Any other code another moment or another node may answer better: of the
# providers' own codes we know only that they come and go.
_PERMANENT_CODES: Final = frozenset(
    {
        -32600,  # not a request
        -32601,  # no such method
        -32602,  # invalid parameters
        -32002,  # preflight failed
        -32003,  # a signature does not verify
        -32006,  # a precompile does not verify
        -32010,  # accounts of this program are not indexed
        -32013,  # wrong number of signatures
        -32015,  # `maxSupportedTransactionVersion` is too low
        -32018,  # not a slot at an epoch's boundary
    }
)
# These say something about the node and not about the question: it is behind, broken, or asked too often.
_UNWELL_CODES: Final = frozenset({-32005, -32603, -32429, 429})
_CONTEXT_SLOT_NOT_REACHED: Final = -32016
_TOO_MANY_REQUESTS: Final = 429
# A public endpoint allows about 100 requests in 10 s, and 40 of one method.
_PUBLIC_REQUESTS_PER_SECOND: Final = 10.0
_OTHER_CLUSTER_SECONDS: Final = 30.0
_ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class _ErrorBody(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class _Answer(msgspec.Struct, Generic[T]):
    id: int | str | None = None
    result: T | msgspec.UnsetType = msgspec.UNSET
    error: _ErrorBody | None = None


@cache
def _decoder(result_type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_Answer[result_type])


@dataclass(slots=True)
class Endpoint:
    """One node. `resting_until` is on the monotonic clock, in seconds; `name` is the host, for logs and metrics.

    `is_known` once it has said of which cluster it is; asked again after it was out of reach, one at a time.
    `budget` is for all calls; where `method_rate` is set, each method has one of its own within it. `failures` counts
    those since it last answered, and `being_asked` is a question that nobody waits for any more: see `go_on_asking`.
    """

    url: str
    budget: AsyncLimiter
    method_rate: float | None = None
    method_budgets: dict[str, AsyncLimiter] = field(default_factory=dict)
    resting_until: float = 0.0
    failures: int = 0
    is_known: bool = False
    asking_cluster: asyncio.Lock = field(default_factory=asyncio.Lock)
    being_asked: "asyncio.Future[Any] | None" = None
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = host_of(self.url)

    def budgets(self, method: str) -> tuple[AsyncLimiter, ...]:
        """What a call of `method` is counted against, the narrower first."""
        if self.method_rate is None:
            return (self.budget,)
        if method not in self.method_budgets:
            self.method_budgets[method] = _limiter(self.method_rate)
        return (self.method_budgets[method], self.budget)

    def rest(self, seconds: float) -> None:
        """Ask other endpoints for the next `seconds`."""
        self.failures += 1
        self.resting_until = time.monotonic() + seconds

    def go_on_asking(self, task: "asyncio.Future[Any]") -> None:
        """Leave a question to itself, one at a time, so that an endpoint that answers again is known to."""
        if self.being_asked is None:
            self.being_asked = task
            task.add_done_callback(self._was_asked)

    def _was_asked(self, task: "asyncio.Future[Any]") -> None:
        self.being_asked = None
        if not task.cancelled():
            # Seen: whatever it is, nobody waits for it.
            task.exception()


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Bounds on one call: seconds for one answer, attempts over all endpoints, and seconds for all of it.

    `requests_per_second` is the budget of each endpoint: calls beyond it wait for their turn. Of a budget no larger
    than a public endpoint's, no method may take more than `one_method_share`.
    """

    answer_seconds: float = 15.0
    attempts: int = 8
    call_seconds: float = 60.0
    requests_per_second: float = 1_000.0
    one_method_share: float = 0.4


@dataclass(slots=True)
class RpcPool:
    """Calls with failover. Open it with `async with`.

    Attributes:
        urls: The endpoints, best first.
        limits: Bounds on each call.
        genesis_hash: Of the cluster; an endpoint of another is not asked for anything else. `None` asks nobody.
        witnesses: How many endpoints have to agree on what cannot be taken back: see `agreeing_min`.
        on_call: Called for every answer with endpoint name, method, outcome (`ok` or what went wrong), seconds.
    """

    urls: Sequence[str]
    limits: RpcLimits = field(default_factory=RpcLimits)
    on_call: Callable[[str, str, str, float], None] = lambda *_: None
    genesis_hash: str | None = None
    witnesses: int = WITNESSES
    endpoints: list[Endpoint] = field(init=False)
    _session: aiohttp.ClientSession | None = None
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("an RPC pool needs at least one endpoint")
        rate = self.limits.requests_per_second
        # A provider with a larger budget counts otherwise; there one method may well take all of it.
        method_rate = rate * self.limits.one_method_share if rate <= _PUBLIC_REQUESTS_PER_SECOND else None
        self.endpoints = [Endpoint(url, _limiter(rate), method_rate) for url in self.urls]

    @property
    def agreeing_min(self) -> int:
        """How many of its endpoints have to agree before anything is decided."""
        return agreeing_min(len(self.endpoints), self.witnesses)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self.limits.answer_seconds),
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            headers={"Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        left = [endpoint.being_asked for endpoint in self.endpoints if endpoint.being_asked is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        params: Sequence[Any],
        result_type: type[T] | Any,
        *,
        attempts: int | None = None,
        at: Endpoint | None = None,
    ) -> Any:
        """Call `method` and return its result as `result_type`; of any endpoint, or of `at` alone.

        Raises:
            PermanentRpcError: A node refused the question itself.
            RetryableRpcError: No endpoint answered within the bounds.
        """
        failures: list[RetryableRpcError] = []
        try:
            async with asyncio.timeout(self.limits.call_seconds):
                return await self._call(method, params, result_type, attempts or self.limits.attempts, failures, at)
        except TimeoutError:
            seconds = self.limits.call_seconds
            last = f"; the last try: {failures[-1]}" if failures else ""
            raise RetryableRpcError(f"no endpoint answered {method} within {seconds:g} s{last}") from None

    async def _call(
        self,
        method: str,
        params: Sequence[Any],
        result_type: Any,
        attempts: int,
        failures: list[RetryableRpcError],
        at: Endpoint | None,
    ) -> Any:
        asked: list[str] = []

        async def ask_best() -> Any:
            endpoint = await self._turn_at_best_endpoint(method, asked, self.endpoints if at is None else [at])
            asked.append(endpoint.url)
            try:
                return await self._ask(endpoint, method, params, result_type)
            except RetryableRpcError as error:
                failures.append(error)
                raise

        try:
            # Nearly every call ends here, and a payment waits for it: keeping count of retries costs as much
            # as asking.
            return await ask_best()
        except RetryableRpcError:
            if attempts == 1:
                raise
        async for attempt in stamina.retry_context(
            on=RetryableRpcError, attempts=attempts - 1, timeout=None, wait_initial=0.05, wait_max=5.0, wait_jitter=0.1
        ):
            with attempt:
                return await ask_best()
        raise AssertionError("unreachable: the last attempt raises")

    @staticmethod
    async def _turn_at_best_endpoint(method: str, asked: list[str], endpoints: Sequence[Endpoint]) -> Endpoint:
        """The first endpoint that is not resting, one that this call has asked least often, when it is our turn."""
        while True:
            now = time.monotonic()
            best = min(
                endpoints,
                key=lambda e: (
                    max(e.resting_until - now, 0.0),
                    asked.count(e.url),
                    not all(budget.has_capacity() for budget in e.budgets(method)),
                ),
            )
            if best.resting_until > now:
                await asyncio.sleep(best.resting_until - now)
            for budget in best.budgets(method):
                await budget.acquire()
            if best.resting_until <= time.monotonic():  # it may rest again since we began to wait
                return best

    async def _ask(self, endpoint: Endpoint, method: str, params: Sequence[Any], result_type: Any) -> Any:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            if self.genesis_hash is not None and not endpoint.is_known:
                await self._check_cluster(endpoint)
            result = await self._post(endpoint, method, params, result_type)
        except RpcError as error:
            outcome = str(error.code) if error.code is not None else "unusable"
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            outcome, endpoint.is_known = "unreachable", False
            self._rest(endpoint)
            raise RetryableRpcError(f"{endpoint.name} cannot be reached: {reason_of(error)}") from None
        else:
            outcome = "ok"
            return result
        finally:
            self.on_call(endpoint.name, method, outcome, time.monotonic() - started)

    async def _check_cluster(self, endpoint: Endpoint) -> None:
        """Ask an endpoint for its cluster before it is believed; one that refuses the question may go on."""
        async with endpoint.asking_cluster:
            if endpoint.is_known:
                return
            try:
                found = await self._post(endpoint, "getGenesisHash", [], str)
            except RpcError as error:
                if not error.is_refusal:
                    raise
                found = self.genesis_hash
            if found != self.genesis_hash:
                endpoint.rest(_OTHER_CLUSTER_SECONDS)
                raise RetryableRpcError(f"{endpoint.name} serves another cluster (genesis hash {found})")
            endpoint.is_known = True

    async def _post(self, endpoint: Endpoint, method: str, params: Sequence[Any], result_type: Any) -> Any:
        if self._session is None:
            raise RuntimeError("open the RpcPool with `async with` before calling it")
        request_id = next(self._ids)
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        # A redirect would turn the question into a GET, and could carry it to another host.
        async with self._session.post(endpoint.url, data=body, allow_redirects=False) as response:
            raw = await self._read(endpoint, response)
            self._check_status(endpoint, response)
        try:
            answer = _decoder(result_type).decode(raw)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            self._rest(endpoint)
            raise RetryableRpcError(f"{endpoint.name} gave a malformed answer to {method}: {error}") from error
        if answer.error is not None:
            raise self._refusal(endpoint, method, answer.error)
        if answer.result is msgspec.UNSET or answer.id != request_id:
            self._rest(endpoint)
            raise RetryableRpcError(f"{endpoint.name} gave a malformed answer to {method}: not the one asked for")
        endpoint.failures = 0
        return answer.result

    async def _read(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > _ANSWER_BYTES_MAX:
                self._rest(endpoint)
                raise RetryableRpcError(f"{endpoint.name} answered with more than {_ANSWER_BYTES_MAX} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_status(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == _TOO_MANY_REQUESTS:
            endpoint.rest(retry_after_seconds(response.headers.get("Retry-After")))
            raise RetryableRpcError(f"{endpoint.name} wants fewer requests", code=status)
        if status in {401, 403}:
            # This endpoint will not serve us; another may. It rests long, so that it is not hammered.
            endpoint.rest(30.0)
            raise RetryableRpcError(f"{endpoint.name} refuses access (HTTP {status}); check its key", code=status)
        refused = 400 <= status < 500 and "json" in response.headers.get("Content-Type", "")  # noqa: PLR2004
        if status >= 300 and not refused:  # noqa: PLR2004
            self._rest(endpoint)
            raise RetryableRpcError(f"{endpoint.name} answered HTTP {status}", code=status)

    def _refusal(self, endpoint: Endpoint, method: str, error: _ErrorBody) -> RpcError:
        message = f"{endpoint.name} refused {method}: {error.message} ({error.code})"
        if error.code in _PERMANENT_CODES:
            return PermanentRpcError(message, code=error.code, data=error.data)
        if error.code in _UNWELL_CODES:
            self._rest(endpoint)
        return RetryableRpcError(message, code=error.code, data=error.data)

    @staticmethod
    def _rest(endpoint: Endpoint) -> None:
        endpoint.rest(_REST.after(endpoint.failures))


def _limiter(rate: float) -> AsyncLimiter:
    """Budgets below one a second are whole requests over more seconds."""
    return AsyncLimiter(max(rate, 1.0), max(1.0, 1.0 / rate))
