"""Nonce accounts by which payouts that are signed elsewhere live, as several nodes see them.

A transaction under a nonce can land at any time while the account holds the value that it names. One node that lies
about the value could have us sign anew what still lands, or sign what never can; so nodes are asked one by one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chain.node import ACCOUNTS_PER_CALL, Node
from chain.nonces import NonceState, nonce_state
from chain.rpc import Endpoint, RpcError
from ledger.payout_exports import ended_exports, note_export_dead
from worker.context import WorkerContext
from worker.payouts.rows import DurableNonce

_PAGES_PER_PASS: Final = 3


class NonceUnusableError(Exception):
    """No transaction can be made to live by a nonce account; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class SeenNonce:
    """What an endpoint has at an address at a finalized slot: a usable nonce account, or anything else (`None`)."""

    slot: int
    state: NonceState | None


async def nonce_to_live_by(context: WorkerContext, account: str, wallet: str) -> DurableNonce:
    """The value by which a transaction of `wallet` can live, final and the same for every node that answers.

    A value that is not final yet may never be, and what nodes show that are behind would look as if it had been
    advanced: the slot says from where on their answers mean something.

    Raises:
        NonceUnusableError: There is no such account, `wallet` cannot use it, or nodes do not agree.
    """
    seen = (await seen_nonces(context.node, [account]))[account]
    if len(seen) < context.node.pool.agreeing_min:
        raise NonceUnusableError(f"only {len(seen)} nodes answered about it; {context.node.pool.agreeing_min} have to")
    states = {one.state for one in seen}
    if len(states) > 1:
        raise NonceUnusableError("nodes do not agree about it; one of them is behind or wrong")
    (state,) = states
    if state is None:
        raise NonceUnusableError("it is no nonce account, or is not final yet")
    if state.authority != wallet:
        raise NonceUnusableError(f"its authority is {state.authority}, not the settlement wallet {wallet}")
    return DurableNonce(account, state.value, max(one.slot for one in seen))


async def advanced_slots(context: WorkerContext, nonces: Sequence[DurableNonce]) -> dict[DurableNonce, int]:
    """Those of the nonces that were advanced, with a finalized slot at which they were: what they let live is decided.

    A closed account counts as advanced, for no value ever comes back; one with another authority does not, for that may
    be changed back. One node that still finds the value is enough to wait, and those that are behind say nothing.
    """
    seen = await seen_nonces(context.node, [nonce.account for nonce in nonces])
    slots = {}
    for nonce in nonces:
        newer = [one for one in seen[nonce.account] if one.slot > nonce.slot]
        holds = any(one.state is not None and one.state.value == nonce.value for one in newer)
        if not holds and len(newer) >= context.node.pool.agreeing_min:
            slots[nonce] = max(one.slot for one in newer)
    return slots


async def note_advanced_of_paid(context: WorkerContext) -> None:
    """Note of exports whose payouts are paid that they can land no more, as far as nodes show it.

    One that was exported and then paid by another transaction lives on, and is warned of until its nonce is advanced. A
    pass looks at some pages of them and the next one goes on behind those: however many live on, each has its turn.
    """
    for _ in range(_PAGES_PER_PASS):
        exports = await ended_exports(context.database, after=context.exports_seen.place, limit=ACCOUNTS_PER_CALL)
        is_last = len(exports) < ACCOUNTS_PER_CALL
        context.exports_seen.place = None if is_last else (exports[-1].ended_at, exports[-1].id)
        nonces = {one.id: DurableNonce(one.nonce_account, one.nonce_value, one.nonce_slot) for one in exports}
        slots = await advanced_slots(context, [*nonces.values()]) if nonces else {}
        for export, nonce in nonces.items():
            if nonce in slots:
                await note_export_dead(context.database, export, slot=slots[nonce])
        if is_last:
            return


async def seen_nonces(node: Node, accounts: Sequence[str]) -> Mapping[str, list[SeenNonce]]:
    """What each endpoint that answers has at these addresses, finalized."""
    found: dict[str, list[SeenNonce]] = {account: [] for account in accounts}

    async def ask(endpoint: Endpoint, some: Sequence[str]) -> None:
        try:
            slot, states = await node.accounts([*some], commitment="finalized", at=endpoint)
        except RpcError:
            return
        for account, state in zip(some, states, strict=True):
            found[account].append(SeenNonce(slot, nonce_state(state)))

    for first in range(0, len(found), ACCOUNTS_PER_CALL):
        some = [*found][first : first + ACCOUNTS_PER_CALL]
        await asyncio.gather(*(ask(endpoint, some) for endpoint in node.pool.endpoints))
    return found
