"""Payouts that an operator signs elsewhere: unsigned transactions out, signed ones in.

An export is an attempt like any other: while it can land there is no second one, so that an operator who signs twice
pays once. What comes back must be the exported message to the last byte.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from solders.message import Message
from solders.transaction import Transaction

from chain.sending import finalized_tip, latest_blockhash
from worker.context import WorkerContext
from worker.payouts import rows
from worker.payouts.checks import NotReadyError, ready_payout
from worker.payouts.costs import PayoutPolicy
from worker.payouts.rows import PayoutToSign

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
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a transaction that was brought back."""

    payout: str | None
    signature: str | None
    refusal: str | None = None


async def export_payouts(context: WorkerContext, ids: Sequence[UUID] = ()) -> list[Exported]:
    """The unsigned transactions of payouts that wait for a signature; the same again while they can still land.

    Raises:
        RpcError: The nodes did not answer.
    """
    address = context.signer.address if context.signer else None
    await rows.leave_to_operator(context.database, address)
    budget = PayoutPolicy.of(context.settings).gifts
    waiting = await rows.payouts_to_sign(context.database, ids, budget, limit=_PER_EXPORT)
    return [await _export(context, one) for one in waiting]


async def _export(context: WorkerContext, waiting: PayoutToSign) -> Exported:
    payout, message, last = waiting.payout, waiting.message, waiting.last_valid_block_height
    about = (str(payout.id), payout.wallet, payout.recipient, payout.mint, payout.amount)
    if message is None or last is None:
        policy = PayoutPolicy.of(context.settings)
        try:
            ready = await ready_payout(context.node, payout, policy)
        except NotReadyError as missing:
            return Exported(*about, waits_for=missing.reason.value)
        lifetime = await latest_blockhash(context.node.pool)
        message, last = bytes(ready.sending.message(lifetime.blockhash)), lifetime.last_valid_block_height
        stored = await rows.store_unsigned(
            context.database,
            payout.id,
            ready.costs,
            policy.gifts,
            recipient=payout.recipient,
            source_account=ready.sending.source,
            message=message,
            last_valid_block_height=last,
        )
        if stored is None:
            return Exported(*about, waits_for="what was decided at the same moment about it or its fee; export again")
    tip = await finalized_tip(context.node.pool)
    if last < tip.block_height:
        return Exported(*about, waits_for="proof that the last export never landed")
    unsigned = bytes(Transaction.new_unsigned(Message.from_bytes(message)))
    return Exported(*about, base64.b64encode(unsigned).decode(), last, last - tip.block_height)


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
    payout_id = await rows.store_imported(
        context.database, message=bytes(transaction.message), signature=signature, wire=wire
    )
    if payout_id is None:
        return Imported(None, signature, "it is not what was exported last, or has expired; export again")
    return Imported(str(payout_id), signature)
