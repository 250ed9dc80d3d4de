"""The audit of completeness: what it reads of the ledger, and how it records what it found.

The functions take a database connection or pool.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ledger.sql import Database, from_row, load_queries

_queries = load_queries("ledger", "completeness.sql")


@dataclass(frozen=True, slots=True)
class AuditedAccount:
    """An account to audit, and how its last audit ended.

    Attributes:
        drift: Balance on chain less the ledger's, in base units; 0 where they agreed.
        gaps: Breaks in its chain of balance changes.
        audited_slot: Up to where it was found complete; `None` before the first good audit.
        followed_from_slot: Before it the ledger holds nothing of the wallet.
    """

    address: str
    wallet: str
    mint: str
    drift: int
    gaps: int
    audited_slot: int | None
    followed_from_slot: int

    @property
    def is_wallet(self) -> bool:
        """True for a wallet that is followed for its lamports."""
        return self.address == self.wallet

    @property
    def failed(self) -> bool:
        """True when the last audit found ledger and chain to disagree."""
        return bool(self.drift or self.gaps)


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a balance change is missing: after slot `after`, and by the change in slot `upto`.

    `after` is `None` where nothing is known from before.
    """

    after: int | None
    upto: int


@dataclass(frozen=True, slots=True)
class Completeness:
    """What the ledger says of an account by itself: breaks in its chain, and the balance with which that ends.

    Attributes:
        gaps: How many breaks there are.
        ends: In base units, `None` where the ledger knows neither a change nor an earlier good audit.
        places: Where the first 20 breaks are.
    """

    gaps: int
    ends: int | None
    places: Sequence[Gap] = ()


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An account about which ledger and chain disagree.

    Attributes:
        slot: The finalized slot of the chain's answer.
        drift: Balance on chain less the ledger's, in base units.
        gaps: Places where a balance change does not start where the one before ended.
    """

    account: str
    wallet: str
    mint: str
    slot: int
    drift: int
    gaps: int


@dataclass(frozen=True, slots=True)
class Doubts:
    """How many accounts of followed wallets drift, and how many breaks their chains have in all."""

    drifting: int
    gaps: int


@dataclass(frozen=True, slots=True)
class ProofOfAccounts:
    """How many accounts of followed wallets there are, and how far they are proven.

    Attributes:
        proven: Those that an audit has found complete.
        drifting: Those whose balance on chain is not the ledger's.
        gaps: Breaks in their chains of balance changes, in all.
        healing: Those that are to be healed.
        proven_slot: Up to where all that are proven are; `None` where none is.
    """

    accounts: int
    proven: int
    drifting: int
    gaps: int
    healing: int
    proven_slot: int | None


async def accounts_to_audit(database: Database, wallets: Collection[str] = ()) -> list[AuditedAccount]:
    """The accounts of followed wallets, or of these wallets, the longest unaudited first."""
    rows = _queries.accounts_to_audit(database, wallets=list(wallets))
    return [
        AuditedAccount(
            address=row["address"],
            wallet=row["recipient"],
            mint=row["mint"],
            drift=int(row["drift"]),
            gaps=row["gaps"],
            audited_slot=row["audited_slot"],
            followed_from_slot=row["followed_from_slot"],
        )
        async for row in rows
    ]


async def completeness_of(
    database: Database, accounts: Sequence[str], slot: int, *, whole: bool
) -> dict[str, Completeness]:
    """How complete each account is up to `slot`: since its last good audit, or over everything with `whole`."""
    rows = _queries.completeness(database, accounts=list(accounts), slot=slot, whole=whole)
    return {
        row["account"]: Completeness(
            gaps=row["gaps"],
            ends=None if row["ends"] is None else int(row["ends"]),
            places=[Gap(*ends) for ends in zip(row["gap_starts"] or (), row["gap_ends"] or (), strict=True)],
        )
        async for row in rows
    }


async def record_agreement(
    database: Database, slot: int, balances: Mapping[str, int], *, impossible_slot: int | None = None
) -> None:
    """Record that ledger and chain agree about these accounts at a finalized slot; balances in base units.

    What was proven at `impossible_slot` or later was not, for the chain has not come so far: it is proven up to `slot`.
    """
    await _queries.agreed(
        database,
        slot=slot,
        accounts=list(balances),
        balances=list(balances.values()),
        impossible_slot=impossible_slot,
    )


async def record_disagreement(
    database: Database, slot: int, disagreements: Sequence[Disagreement], *, impossible_slot: int | None = None
) -> None:
    """Record what an audit found; these accounts are to be healed from their last good audit on.

    One that is said to have been good at `impossible_slot` or later was not; see `record_agreement`.
    """
    await _queries.disagreed(
        database,
        slot=slot,
        accounts=[disagreement.account for disagreement in disagreements],
        drifts=[disagreement.drift for disagreement in disagreements],
        gap_counts=[disagreement.gaps for disagreement in disagreements],
        impossible_slot=impossible_slot,
    )


async def correct_slots(database: Database, *, reached_slot: int, impossible_slot: int) -> list[str]:
    """Correct what is noted of accounts at `impossible_slot` or later, where the chain has only reached `reached_slot`.

    Their histories are to be walked again. Returns their addresses.
    """
    rows = _queries.correct_slots(database, reached_slot=reached_slot, impossible_slot=impossible_slot)
    return [row["address"] async for row in rows]


async def correct_followed_slots(
    database: Database, *, reached_slot: int, impossible_slot: int, slot_seconds: float
) -> list[str]:
    """As `correct_slots`, of the slot from which wallets are followed; returns their addresses.

    `slot_seconds` is how long a slot takes at least, 0 where that is not known: then they are followed from genesis.
    """
    rows = _queries.correct_followed_slots(
        database, reached_slot=reached_slot, impossible_slot=impossible_slot, slot_seconds=slot_seconds
    )
    return [row["address"] async for row in rows]


async def record_loss(database: Database, accounts: Collection[str], slot: int) -> None:
    """Record that these token accounts belong to somebody else: they are neither followed nor audited any more."""
    await _queries.lost(database, accounts=list(accounts), slot=slot)


async def doubts(database: Database) -> Doubts:
    """How much the last audits of all accounts found."""
    row = await _queries.in_doubt(database)
    return Doubts(row["drifting"], row["gaps"])


async def proof_of_accounts(database: Database, user_id: str | None) -> ProofOfAccounts:
    """How far the accounts of a user's followed wallets, or of everybody's for `None`, are proven."""
    return from_row(ProofOfAccounts, await _queries.proof_of_accounts(database, user_id=user_id))


async def accounts_to_heal(database: Database, not_since: dt.datetime) -> list[str]:
    """Accounts marked for healing, or whose history was not walked since a time; at most a thousand."""
    return [row["address"] async for row in _queries.accounts_to_heal(database, not_since=not_since)]
