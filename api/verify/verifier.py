"""From a proof to its verdict: decided by the ledger, and waited for where the payment is on its way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from api.resources import Resources
from api.verify.proof import Answer, Case
from chain.decode import MalformedAnswerError, decode
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


async def verify(parts: Resources, case: Case, is_gone: Callable[[], Awaitable[bool]]) -> Answer:
    """Judge `case` and honour it where that is right; wait for a transaction that is on its way.

    One that does not come in time is remembered as pending, for the worker to settle. `is_gone` tells whether whoever
    asks has hung up: nothing is honoured for nobody, who could not be told and would find it used.

    Raises:
        asyncpg.PostgresError: The database is away: nothing is said about the payment.
    """
    if not case.question.is_signed:
        return Answer(Outcome.INVALID_SIGNATURE)
    deadline = asyncio.get_running_loop().time() + parts.settings.verify_wait_ms / 1000
    found = await parts.desk.decide(case)
    if found.outcome is Outcome.PAYMENT_PENDING and parts.arrivals.waiting < parts.settings.waiting_requests_max:
        found = await _wait(parts, case, deadline, is_gone)
    if found.outcome is Outcome.PAYMENT_PENDING and found.terms is not None:
        most = parts.settings.pending_claims_max
        await claims.record_pending(parts.database, found.terms, most=most)
    return found


async def _wait(parts: Resources, case: Case, deadline: float, is_gone: Callable[[], Awaitable[bool]]) -> Answer:
    """Decide again whenever the ledger has something new of the transaction, until it does or time is up."""
    loop = asyncio.get_running_loop()
    with parts.arrivals.expected(case.question.transaction) as arrived:
        look = asyncio.create_task(_look_on_chain(parts, case.question.transaction, deadline))
        try:
            while True:
                # It may have come between the last look and now.
                arrived.clear()
                if await is_gone():
                    return Answer(Outcome.PAYMENT_PENDING)
                found = await parts.desk.decide(case)
                left = deadline - loop.time()
                if found.outcome is not Outcome.PAYMENT_PENDING or left <= 0:
                    return found
                woken = asyncio.create_task(arrived.wait())
                await asyncio.wait(
                    {woken} if look.done() else {woken, look},
                    timeout=min(left, _LOOK_AGAIN_SECONDS),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                woken.cancel()
                if look.done() and (refusal := look.result()) is not None:
                    return Answer(refusal)
        finally:
            look.cancel()


async def _look_on_chain(parts: Resources, transaction: str, deadline: float) -> Outcome | None:
    """What the chain says of a transaction that the ledger does not have; `None` when only time can tell.

    One that failed, or that pays nobody who is followed, will never be in the ledger.
    """
    left = deadline - asyncio.get_running_loop().time()
    await asyncio.sleep(min(_LOOK_AFTER_SECONDS, _LOOK_AFTER_SHARE * max(left, 0)))
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            result = await parts.node.transaction(transaction)
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
        parts.database,
        wallets=[movement.destination_owner for movement in paid],
        token_accounts=[movement.destination for movement in paid],
    )
    return None if is_ours else Outcome.RECIPIENT_MISMATCH
