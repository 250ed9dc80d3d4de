"""The followed accounts as the console shows them: how far each is proven, and one light with its reason.

This module owns `accounts.sql`. What is a gap, and with which balance an account ends, is decided by
`ledger.completeness`.
"""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from api.access.caller import Caller
from api.console.wholeness import Light
from api.http.errors import not_found
from api.http.json import exact_amount
from api.payments.context import PaymentsContext
from api.tokens import Token
from chain.accounts import AccountState
from chain.addresses import parse_address
from chain.node import Node
from chain.rpc import RpcError
from ledger.completeness import Completeness, Gap, completeness_of
from ledger.sql import load_queries, planned_for_its_values
from ledger.times import epoch_ms

_queries = load_queries("api.console", "accounts.sql")

# An audit comes every minute unless it is told otherwise.
_AUDIT_AGE: Final = dt.timedelta(hours=1)
_CONTESTED_SHOWN: Final = 20
# What a node says is shown beside the rest; nobody waits long for it.
_NODE_SECONDS: Final = 0.5
CHANGES_MAX: Final = 20_000
"""Since its last good audit an account's changes are added up for a page up to so many."""


@dataclass(frozen=True, slots=True)
class FollowedAccount:
    """An account that is followed, and how its audits ended.

    Attributes:
        label: The wallet's name.
        mint: The mint in the ledger, whose token is `symbol`.
        audited_slot: Up to where it is proven; `None` where it is not.
        audited_at: When the last audit looked at it, whatever it found; in milliseconds since 1970.
        proven_balance: Its balance at `audited_slot`, in units of the token.
        drift: What the chain has more than the ledger, in units of the token, and less than 0 for less.
        gaps: Places where its balance changes do not follow from each other.
        contested: Transfers to it that another node contradicts.
        heal_wanted_at: Since when it waits to be healed; in milliseconds since 1970.
        light: How it stands, for `reason`.
    """

    address: str
    wallet: str
    user_id: str
    label: str | None
    mint: str
    symbol: str
    decimals: int
    audited_slot: int | None
    audited_at: int | None
    proven_balance: Decimal | None
    drift: Decimal
    gaps: int
    contested: int
    heal_reason: str | None
    heal_wanted_at: int | None
    healed_at: int | None
    light: Light
    reason: str


@dataclass(frozen=True, slots=True)
class AccountProof:
    """What the ledger says of an account by itself, and what the chain says now.

    Attributes:
        is_added_up: False where there are too many changes since the last good audit to add them up for a page.
        ledger_balance: By the final changes that are recorded, up to `ledger_slot`; `None` where nothing is known.
        gaps: Where a change is missing.
        contested: Transactions that another node contradicts.
        chain_slot: When a node was asked; `None` where none answered.
        chain_balance: What it said.
        is_frozen: True where the token's issuer has frozen the account.
    """

    is_added_up: bool
    ledger_balance: Decimal | None
    ledger_slot: int
    gaps: Sequence[Gap]
    contested: Sequence[str]
    chain_slot: int | None
    chain_balance: Decimal | None
    is_frozen: bool


async def followed_accounts(
    context: PaymentsContext,
    caller: Caller,
    *,
    limit: int,
    after: tuple[str, str] | None = None,
    address: str | None = None,
    in_doubt: bool = False,
) -> list[FollowedAccount]:
    """The accounts of the caller's followed wallets, or of everybody's for an admin, wallet by wallet.

    Args:
        context: The ledger and its tokens.
        caller: Who looks.
        limit: How many at most.
        after: The wallet and the address of the account that comes before the first.
        address: This account alone.
        in_doubt: Those alone about which ledger and chain disagree.
    """
    after_wallet, after_address = after or (None, None)
    async with planned_for_its_values(context.database) as connection:
        rows = _queries.page_of_accounts(
            connection,
            user_id=None if caller.is_admin else caller.user_id,
            address=address,
            in_doubt=in_doubt,
            after_wallet=after_wallet,
            after_address=after_address,
            limit=limit,
        )
        found = [row async for row in rows]
    return [_account(row, await context.tokens.describe(row["mint"])) for row in found]


async def followed_account(context: PaymentsContext, caller: Caller, address: str) -> FollowedAccount:
    """One account that the caller may see. Raises ApiError 404 where it is none of theirs."""
    found = await followed_accounts(context, caller, address=address, limit=1) if parse_address(address) else []
    if not found:
        raise not_found("A followed account of this address")
    return found[0]


async def proof_of_account(context: PaymentsContext, account: FollowedAccount) -> AccountProof:
    """What the ledger says of an account by itself, beside what a node says of it now."""
    after = -1 if account.audited_slot is None else account.audited_slot
    async with planned_for_its_values(context.database) as connection:
        bound = await _queries.changes_after(
            connection, address=account.address, after=after, changes_max=CHANGES_MAX + 1
        )
    is_added_up = bound["changes"] <= CHANGES_MAX
    slot = max(account.audited_slot or 0, bound["newest_final"] or 0)
    proven = Completeness(gaps=0, ends=None)
    if is_added_up:
        proven = (await completeness_of(context.database, [account.address], slot, whole=False))[account.address]
    contested = _queries.contested_transfers(context.database, address=account.address, limit=_CONTESTED_SHOWN)
    chain_slot, state = await _on_chain(context.node, account.address)
    return AccountProof(
        is_added_up=is_added_up,
        ledger_balance=None if proven.ends is None else exact_amount(proven.ends, account.decimals),
        ledger_slot=slot,
        gaps=proven.places,
        contested=[row["signature"] async for row in contested],
        chain_slot=chain_slot,
        chain_balance=None if chain_slot is None else _balance(account, state),
        is_frozen=state is not None and state.is_frozen,
    )


async def _on_chain(node: Node, address: str) -> tuple[int | None, AccountState | None]:
    try:
        async with asyncio.timeout(_NODE_SECONDS):
            return await node.account(address, commitment="finalized")
    except (RpcError, TimeoutError):
        return None, None


def _balance(account: FollowedAccount, state: AccountState | None) -> Decimal:
    units = 0 if state is None else state.balance_of(is_wallet=account.address == account.wallet)
    return exact_amount(units, account.decimals)


def _account(row: Mapping[str, Any], token: Token) -> FollowedAccount:
    drift = exact_amount(int(row["drift"]), token.decimals)
    light, reason = _light(row, f"{abs(drift):,f} {token.symbol}")
    balance = row["audited_balance"]
    return FollowedAccount(
        address=row["address"],
        wallet=row["wallet"],
        user_id=row["user_id"],
        label=row["label"],
        mint=row["mint"],
        symbol=token.symbol,
        decimals=token.decimals,
        audited_slot=row["audited_slot"],
        audited_at=epoch_ms(row["audited_at"]),
        proven_balance=None if balance is None else exact_amount(int(balance), token.decimals),
        drift=drift,
        gaps=row["gaps"],
        contested=row["contested"],
        heal_reason=row["heal_reason"],
        heal_wanted_at=epoch_ms(row["heal_wanted_at"]),
        healed_at=epoch_ms(row["healed_at"]),
        light=light,
        reason=reason,
    )


def _light(row: Mapping[str, Any], difference: str) -> tuple[Light, str]:
    """The light of an account, by the gravest of what is known of it, and why."""
    if row["lost_slot"] is not None:
        return "doubtful", f"It belongs to somebody else since slot {row['lost_slot']:,}, and is not followed any more."
    if (fault := _fault(row, difference)) is not None:
        return "bad", fault
    if (doubt := _doubt(row)) is not None:
        return "doubtful", doubt
    return "good", f"Every change is recorded up to slot {row['audited_slot']:,}."


def _fault(row: Mapping[str, Any], difference: str) -> str | None:
    drift, gaps = row["drift"], row["gaps"]
    than = f"the chain has {difference} {'more' if drift > 0 else 'less'} than the ledger" if drift else ""
    missing = f"changes are missing in {gaps:,} places" if gaps else ""
    disputed = f"nodes contradict each other about {row['contested']:,} transfers to it" if row["contested"] else ""
    faults = ", and ".join(filter(None, (than, missing, disputed)))
    return f"{faults[0].upper()}{faults[1:]}." if faults else None


def _doubt(row: Mapping[str, Any]) -> str | None:
    if row["audited_at"] is None:
        return "No audit has looked at it yet; the indexer's next one does."
    if dt.datetime.now(dt.UTC) - row["audited_at"] > _AUDIT_AGE:
        return "No audit has looked at it for more than an hour; see that an indexer runs."
    if row["audited_slot"] is None:
        return "It moved while it was audited; the next audit proves it."
    if row["heal_wanted_at"] is not None:
        return f"Proven up to slot {row['audited_slot']:,}, and its history is to be walked again."
    return None
