"""From a proof to its verdict: decided by the ledger, and waited for where the payment is on its way."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog

from api.metrics import ApiMetrics
from api.notifications import TransferNotifications
from api.verify.batches import VerificationBatches
from api.verify.proof import Verification, VerifyResult
from chain.decode import MalformedAnswerError, decode
from chain.node import Node
from chain.rpc import RpcError
from ledger import claims
from ledger.judge import Outcome
from ledger.recipients import is_any_followed

_log = structlog.get_logger(__name__)

# Before a node is asked about a transaction that the ledger does not have. No node shows one before the cluster has
# confirmed it, which takes a second; asked earlier it says nothing, and most arrive by themselves within that time.
_LOOK_AFTER_SECONDS: Final = 1.2
_LOOK_AFTER_SHARE: Final = 0.6
_LOOK_SECONDS: Final = 1.5
# Notifications can be lost; looking again is the remedy.
_LOOK_AGAIN_SECONDS: Final = 0.5

IsGone = Callable[[], Awaitable[bool]]
"""Whether the caller has hung up."""


@dataclass(frozen=True, slots=True)
class VerifyBounds:
    """What verifying may take.

    Attributes:
        wait_seconds: How long a request waits for a payment that is on its way.
        waiting_max: How many requests may wait at once; any more are answered `PAYMENT_PENDING` without waiting.
        pending_claims_max: How many pending claims a merchant's keys may have, and as many strangers with it.
    """

    wait_seconds: float
    waiting_max: int
    pending_claims_max: int


class Verifier:
    """Verifies payments, and waits for those that are on their way."""

    def __init__(
        self,
        database: asyncpg.Pool,
        batches: VerificationBatches,
        notifications: TransferNotifications,
        node: Node,
        metrics: ApiMetrics,
        bounds: VerifyBounds,
    ) -> None:
        self._database = database
        self._batches = batches
        self._notifications = notifications
        self._node = node
        self._metrics = metrics
        self._bounds = bounds

    async def verify(self, verification: Verification, is_gone: IsGone) -> VerifyResult:
        """Judge `verification` and honour its claim where that is right; wait for a transaction that is on its way.

        One that does not come in time is remembered as pending, for the worker to settle. A caller who has hung up
        while it waited is not honoured: it could not be answered and would find the payment used.

        Raises:
            DATABASE_ERRORS: See `trouble_of` for what each means. Nothing is said about the payment.
            ApiError: 503, when too many verifications are under way.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        result = await self._verify(verification, is_gone, started + self._bounds.wait_seconds)
        self._metrics.verify_seconds.observe(loop.time() - started)
        self._metrics.verifications.labels(result.outcome.lower()).inc()
        return result

    async def _verify(self, verification: Verification, is_gone: IsGone, deadline: float) -> VerifyResult:
        if not verification.proof.is_signed:
            return VerifyResult(Outcome.INVALID_SIGNATURE)
        result = await self._batches.decide(verification)
        if result.outcome is Outcome.PAYMENT_PENDING and self._notifications.waiting < self._bounds.waiting_max:
            result = await self._wait(verification, deadline, is_gone)
        if result.outcome is Outcome.PAYMENT_PENDING and result.terms is not None:
            # Another request of the same claim may be quicker: it is remembered then.
            with contextlib.suppress(asyncpg.UniqueViolationError):
                await claims.record_pending(
                    self._database,
                    result.terms,
                    client=verification.stranger,
                    pending_max=self._bounds.pending_claims_max,
                )
        return result

    async def _wait(self, verification: Verification, deadline: float, is_gone: IsGone) -> VerifyResult:
        """Decide again whenever the ledger has something new of the transaction, until it does or time is up."""
        loop = asyncio.get_running_loop()
        transaction = verification.proof.transaction
        with self._notifications.expected(transaction) as arrived:
            look = asyncio.create_task(self._look_on_chain(transaction, deadline))
            try:
                while True:
                    # It may have come between the last look and now.
                    arrived.clear()
                    if await is_gone():
                        return VerifyResult(Outcome.PAYMENT_PENDING)
                    result = await self._batches.decide(verification)
                    left = deadline - loop.time()
                    if result.outcome is not Outcome.PAYMENT_PENDING or left <= 0:
                        return result
                    woken = asyncio.create_task(arrived.wait())
                    await asyncio.wait(
                        {woken} if look.done() else {woken, look},
                        timeout=min(left, _LOOK_AGAIN_SECONDS),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    woken.cancel()
                    if look.done() and (refusal := look.result()) is not None:
                        return VerifyResult(refusal)
            finally:
                look.cancel()

    async def _look_on_chain(self, transaction: str, deadline: float) -> Outcome | None:
        """What the chain says of a transaction that the ledger does not have; `None` when only time can tell.

        One that failed, or that pays nobody who is followed, will never be in the ledger.
        """
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.sleep(min(_LOOK_AFTER_SECONDS, _LOOK_AFTER_SHARE * max(left, 0)))
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                result = await self._node.transaction(transaction)
            if result is None:
                return None
            observation = decode(result)
        except (RpcError, MalformedAnswerError, TimeoutError, OSError) as error:
            _log.info("chain_not_asked", error=str(error) or type(error).__name__)
            return None
        if observation.signature != transaction:
            # A node that answers something else says nothing about this one.
            return None
        if observation.failed:
            return Outcome.TRANSACTION_FAILED
        paid = list(observation.transfers)
        is_ours = await is_any_followed(
            self._database,
            wallets=[movement.destination_owner for movement in paid],
            token_accounts=[movement.destination for movement in paid],
        )
        return None if is_ours else Outcome.RECIPIENT_MISMATCH
