"""Whether the ledger is whole: one light, and the reason of each part of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from api.access.caller import Caller
from api.operations.context import OperationsContext
from api.operations.probes import PartStates, ProcessState
from ledger.completeness import ProofOfAccounts, proof_of_accounts
from ledger.payout_exports import PayableTwice, payable_twice
from ledger.witness import WitnessState, witness_state

Light = Literal["good", "doubtful", "bad"]
# At 400 ms a slot: an indexer that is half a minute behind.
_LAG_SLOTS_MAX: Final = 75
_ORDER: Final[Sequence[Light]] = ("good", "doubtful", "bad")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that wholeness needs, how it stands, and why."""

    name: str
    light: Light
    reason: str


@dataclass(frozen=True, slots=True)
class Wholeness:
    """How the ledger stands as a whole: as its worst part does."""

    light: Light
    sentence: str
    parts: Sequence[Part]


_SENTENCES: Final[dict[Light, str]] = {
    "good": "The ledger is whole.",
    "doubtful": "The ledger is not yet shown to be whole.",
    "bad": "The ledger needs attention.",
}


async def wholeness_for(context: OperationsContext, caller: Caller) -> Wholeness:
    """How the ledger of the caller's wallets stands, or of everybody's for an admin."""
    states = await context.probes.states()
    proof = await proof_of_accounts(context.database, None if caller.is_admin else caller.user_id)
    parts = [_proof(proof), _gaps(proof), _indexer(states.indexer), _worker(states.worker), _stores(states)]
    if caller.is_admin:
        # Of other merchants' payments too, which are no business of a merchant.
        parts.insert(3, _nodes(await witness_state(context.database)))
        if twice := await payable_twice(context.database):
            parts.append(_payouts(twice))
    light = max((part.light for part in parts), key=_ORDER.index)
    return Wholeness(light, _SENTENCES[light], parts)


def _proof(proof: ProofOfAccounts) -> Part:
    if not proof.accounts:
        return Part("Proof", "doubtful", "No account is followed yet; register a wallet.")
    if proof.proven < proof.accounts:
        reason = f"{proof.proven} of {proof.accounts} accounts are proven; the audit comes to the others by itself."
        return Part("Proof", "doubtful", reason)
    return Part("Proof", "good", f"All {proof.accounts} accounts are proven up to slot {proof.proven_slot:,}.")


def _gaps(proof: ProofOfAccounts) -> Part:
    if proof.drifting or proof.gaps:
        reason = (
            f"Ledger and chain disagree about {proof.drifting} accounts, with {proof.gaps} gaps; "
            f"{proof.healing} are being healed."
        )
        return Part("Gaps", "bad", reason)
    return Part("Gaps", "good", "No gap is known; where an audit compared balances, they agreed.")


def _indexer(state: ProcessState) -> Part:
    if state.status != "ok":
        return Part("Indexer", "bad", _lifeless("indexer", state))
    if state.lag_slots is None:
        return Part("Indexer", "doubtful", "It has seen no slot yet.")
    light: Light = "good" if state.lag_slots <= _LAG_SLOTS_MAX else "doubtful"
    return Part("Indexer", light, f"It is {state.lag_slots} slots behind the chain.")


def _worker(state: ProcessState) -> Part:
    if state.status != "ok":
        return Part("Worker", "bad", _lifeless("worker", state))
    return Part("Worker", "good", "It decides what is pending.")


def _lifeless(role: str, state: ProcessState) -> str:
    if state.heartbeat_age_seconds is None:
        return f"No {role} has shown life; start one with `pay402 {role}`."
    return f"It was last heard of {state.heartbeat_age_seconds:,.0f} seconds ago; look at its log."


def _nodes(state: WitnessState) -> Part:
    if state.contested:
        reason = f"Nodes contradict each other about {state.contested} transfers; none of them is honoured meanwhile."
        return Part("Nodes", "bad", reason)
    if state.awaiting:
        return Part("Nodes", "good", f"{state.awaiting} transfers wait for a second node to see them.")
    return Part("Nodes", "good", "They agree about every transfer.")


def _payouts(twice: Sequence[PayableTwice]) -> Part:
    others = f", and {len(twice) - 1} more, see `pay402 doctor`" if len(twice) > 1 else ""
    return Part("Payouts", "doubtful", f"{twice[0].warning.capitalize()}: {twice[0].remedy}{others}.")


def _stores(states: PartStates) -> Part:
    if states.migrations.status not in {"ok", "ahead"}:
        return Part("Stores", "bad", "The database has not the schema of this version; run `pay402 migrate`.")
    if states.redis.status != "ok":
        return Part("Stores", "doubtful", f"Redis does not answer: {states.redis.consequence}.")
    return Part("Stores", "good", "Postgres and Redis answer.")
