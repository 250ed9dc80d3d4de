"""Payouts that an operator signs elsewhere: unsigned transactions out, signed ones in.

An export is an attempt like any other: while it can land there is no second one, so that an operator who signs twice
pays once. What comes back must be the exported message to the last byte. One that lives by a nonce account can land for
as long as nobody advances it, so that its signature may take days.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from solders.message import Message
from solders.transaction import Transaction

from chain.lifetimes import finalized_tip, latest_blockhash_of_all
from chain.nonces import advance_only, is_advance_only
from chain.rpc import PermanentRpcError
from chain.sending import broadcast
from worker.context import WorkerContext
from worker.payouts import rows
from worker.payouts.checks import NotReadyError, Waiting, ready_payout
from worker.payouts.costs import PayoutPolicy
from worker.payouts.crash_points import crash_point
from worker.payouts.nonces import NonceUnusableError, advanced_slots, nonce_to_live_by, seen_nonces
from worker.payouts.rows import DurableNonce, Payout, PayoutToSign

_PER_EXPORT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Exported:
    """A transaction to sign, in base64, or why there is none. Amounts are base units."""

    payout: str
    wallet: str
    recipient: str
    mint: str
    amount: int
    transaction: str | None = None
    last_valid_block_height: int | None = None
    blocks_left: int | None = None
    nonce_account: str | None = None
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a transaction that was brought back."""

    payout: str | None
    signature: str | None
    refusal: str | None = None


async def export_payouts(
    context: WorkerContext, ids: Sequence[UUID] = (), *, nonce_accounts: Sequence[str] = ()
) -> list[Exported]:
    """The unsigned transactions of payouts that wait for a signature; the same again while they can still land.

    With `nonce_accounts` new ones live by these, each by one of its own.

    Raises:
        RpcError: The nodes did not answer.
    """
    address = context.signer.address if context.signer else None
    await rows.leave_to_operator(context.database, address)
    budget = PayoutPolicy.of(context.settings).gifts
    waiting = await rows.payouts_to_sign(context.database, ids, budget, limit=_PER_EXPORT)
    taken = {one.nonce.account for one in waiting if one.nonce is not None}
    free = [account for account in dict.fromkeys(nonce_accounts) if account not in taken]
    exported = []
    for one in waiting:
        account = None
        if one.message is None and nonce_accounts:
            if not free:
                exported.append(Exported(*_about(one.payout), waits_for="a nonce account of its own"))
                continue
            account = free.pop(0)
        exported.append(await _export(context, one, account))
    return exported


def _about(payout: Payout) -> tuple[str, str, str, str, int]:
    return str(payout.id), payout.wallet, payout.recipient, payout.mint, payout.amount


async def _export(context: WorkerContext, waiting: PayoutToSign, nonce_account: str | None) -> Exported:
    payout, message, last, nonce = waiting.payout, waiting.message, waiting.last_valid_block_height, waiting.nonce
    if message is None:
        policy = PayoutPolicy.of(context.settings)
        try:
            ready = await ready_payout(context.node, payout, policy)
            if nonce_account is not None:
                nonce = await nonce_to_live_by(context, nonce_account, payout.wallet)
        except NotReadyError as missing:
            return Exported(*_about(payout), waits_for=missing.reason.value)
        except NonceUnusableError as unusable:
            return Exported(*_about(payout), waits_for=f"another nonce account than {nonce_account}: {unusable}")
        signed_slot = None
        if nonce is None:
            lifetime = await latest_blockhash_of_all(context.node.pool)
            if lifetime is None:
                return Exported(*_about(payout), waits_for=Waiting.TOO_FEW_NODES.value)
            message, last = bytes(ready.sending.message(lifetime.blockhash)), lifetime.last_valid_block_height
            signed_slot = lifetime.slot
        else:
            message = bytes(ready.sending.message(nonce.value, nonce.account))
        async with crash_point("export"):
            stored = await rows.store_unsigned(
                context.database,
                payout.id,
                ready.costs,
                policy.gifts,
                recipient=payout.recipient,
                source_account=ready.sending.source,
                message=message,
                last_valid_block_height=last,
                signed_slot=signed_slot,
                nonce=nonce,
            )
        if stored is None:
            also = f", or the nonce account {nonce.account}, which may be in use" if nonce else ""
            return Exported(
                *_about(payout),
                waits_for=f"what was decided at the same moment about it, its fee{also}; export again",
            )
    tip = await finalized_tip(context.node.pool)
    left = None if last is None or tip is None else last - tip.block_height
    if (waits_for := await _end(context, last, left, nonce)) is not None:
        return Exported(*_about(payout), waits_for=waits_for)
    unsigned = base64.b64encode(bytes(Transaction.new_unsigned(Message.from_bytes(message)))).decode()
    return Exported(*_about(payout), unsigned, last, left, nonce.account if nonce else None)


async def _end(context: WorkerContext, last: int | None, left: int | None, nonce: DurableNonce | None) -> str | None:
    """What a transaction waits for that can land no more, or of which nobody knows whether it can."""
    if last is not None and left is None:
        # Whoever signs what has expired signs for nothing.
        return Waiting.TOO_FEW_NODES.value
    if (left is not None and left < 0) or (nonce and await advanced_slots(context, [nonce])):
        return "proof that the last export never landed"
    return None


async def void_nonce(context: WorkerContext, nonce_account: str) -> tuple[str, str]:
    """The authority of a nonce account, and a transaction in base64, for it to sign, that advances it and no more.

    Once it has landed, what was signed under the value before it can never land. It lives by that value itself, so that
    of the two one lands.

    Raises:
        NonceUnusableError: There is no such nonce account, or nodes do not agree about it.
    """
    seen = (await seen_nonces(context.node, [nonce_account]))[nonce_account]
    states = {one.state for one in seen}
    state = next(iter(states)) if len(states) == 1 else None
    if state is None:
        raise NonceUnusableError("nodes do not agree about it" if len(states) > 1 else "it is no nonce account")
    unsigned = bytes(Transaction.new_unsigned(advance_only(nonce_account, state)))
    return state.authority, base64.b64encode(unsigned).decode()


async def import_payout(context: WorkerContext, text: str) -> Imported:
    """Take a signed transaction in base64; the worker sends it from now on."""
    try:
        wire = base64.b64decode(text.strip(), validate=True)
        transaction = Transaction.from_bytes(wire)
        transaction.verify()
    except (ValueError, binascii.Error):
        return Imported(None, None, "it is no transaction in base64")
    except Exception as error:  # noqa: BLE001 - solders raises a class of its own for a signature that is missing or wrong
        return Imported(None, None, f"its signatures are not good ({error})")
    signature = str(transaction.signatures[0])
    if is_advance_only(transaction.message):
        return await _void(context, wire, signature)
    async with crash_point("import"):
        payout_id = await rows.store_imported(
            context.database, message=bytes(transaction.message), signature=signature, wire=wire
        )
    if payout_id is None:
        return Imported(None, signature, "it is not what was exported last, or has expired; export again")
    return Imported(str(payout_id), signature)


async def _void(context: WorkerContext, wire: bytes, signature: str) -> Imported:
    """Send what only advances a nonce account: nothing is owed by it, so nothing of it is kept."""
    try:
        await broadcast(context.node.pool, wire, preflight=True)
    except PermanentRpcError as error:
        return Imported(None, signature, f"it does not advance the nonce account, or somebody did before ({error})")
    return Imported(None, signature)
