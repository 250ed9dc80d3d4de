"""What the database knows of followed wallets and their accounts: the one owner of accounts.sql."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from chain.node import SignatureInfo
from chain.programs import SYSTEM_PROGRAM
from indexer.watchlist import FollowedAccount
from ledger.sql import load_queries
from ledger.tokens import NATIVE_SOL

_queries = load_queries("indexer", "accounts.sql")


@dataclass(frozen=True, slots=True)
class Cursor:
    """From which slot on an account's history has to be walked.

    `must_see` is a transaction known to be in it from there on: a history that ends before it is not whole.
    """

    lower_slot: int
    must_see: str | None


@dataclass(frozen=True, slots=True)
class Accounts:
    """Followed wallets and accounts in the database."""

    database: asyncpg.Pool

    async def wallets(self) -> dict[str, int]:
        """Every wallet to follow, with the first slot that counts."""
        rows = _queries.followed_wallets(self.database)
        return {row["address"]: row["followed_from_slot"] async for row in rows}

    async def known(self) -> tuple[FollowedAccount, ...]:
        """Every known account of the wallets to follow."""
        rows = _queries.followed_accounts(self.database)
        return tuple([FollowedAccount(r["address"], r["recipient"], r["mint"], r["program"]) async for r in rows])

    async def remember(self, accounts: Sequence[FollowedAccount]) -> None:
        """Store accounts of followed wallets; those that are known stay as they are."""
        await _queries.add_accounts(
            self.database,
            address=[account.address for account in accounts],
            recipient=[account.wallet for account in accounts],
            mint=[account.mint for account in accounts],
            program=[account.program for account in accounts],
        )

    async def cursor(self, account: str) -> Cursor:
        """Where a walk of this account's history has to end; genesis for an account that nobody follows."""
        row = await _queries.cursor(self.database, account=account)
        return Cursor(0, None) if row is None else Cursor(row["lower_slot"], row["must_see"])

    async def recorded(self, account: str, lines: Sequence[SignatureInfo], *, final_only: bool) -> set[str]:
        """The signatures of those lines that the ledger holds for the account, or holds as final."""
        rows = _queries.recorded(
            self.database,
            account=account,
            signatures=[line.signature for line in lines],
            slots=[line.slot for line in lines],
            final_only=final_only,
        )
        return {row["signature"] async for row in rows}

    async def is_recorded(self, signature: str, slot: int) -> bool:
        """True when the ledger holds this landing, for whatever account."""
        return bool(await _queries.is_recorded(self.database, signature=signature, slot=slot))

    async def healed(self, account: str, *, lower_slot: int, newest_final: SignatureInfo | None) -> None:
        """Record that all history from `lower_slot` on is in the ledger; the cursor moves to the newest final line."""
        await _queries.healed(
            self.database,
            account=account,
            lower_slot=lower_slot,
            slot=newest_final.slot if newest_final else 0,
            signature=newest_final.signature if newest_final else None,
        )

    async def heal_wanted(self, account: str, reason: str) -> None:
        """Record why the account's history could not be completed."""
        await _queries.heal_wanted(self.database, account=account, reason=reason)


def native_account(wallet: str) -> FollowedAccount:
    """The wallet itself, which is followed for its lamports."""
    return FollowedAccount(wallet, wallet, NATIVE_SOL, SYSTEM_PROGRAM)
