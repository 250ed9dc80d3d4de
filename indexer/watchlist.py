"""Which wallets and accounts are followed, and what of a transaction concerns them. No input or output."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from chain.programs import ASSOCIATED_TOKEN_PROGRAM, SOL_DECIMALS, SYSTEM_PROGRAM, TOKENS, WRAPPED_SOL_2022_MINT
from ledger.observation import BalanceChange, Kind, Movement, Observation
from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT

_DUST_ACCOUNTS_MAX: Final = 50
"""Empty accounts of one wallet that are followed though nobody has paid them yet and they are not its usual ones."""
_KNOWN_MINTS: Final = frozenset({WRAPPED_SOL_MINT, WRAPPED_SOL_2022_MINT, *(token.mint for token in TOKENS)})


class FollowedAccount(Struct, frozen=True, gc=False):
    """An account to follow: a token account, or the wallet itself for its lamports."""

    address: str
    wallet: str
    mint: str
    program: str


class Entry(Struct, frozen=True, gc=False):
    """What the ledger keeps of one transaction.

    Attributes:
        changes: Balance changes of followed accounts, each with the part that no movement explains.
        opened: Token accounts of followed wallets that were not followed yet.
        notified_at: When a node notified us of it, in seconds of the monotonic clock.
    """

    observation: Observation
    movements: tuple[Movement, ...]
    changes: tuple[tuple[BalanceChange, int], ...]
    opened: tuple[FollowedAccount, ...]
    notified_at: float | None = None

    @property
    def is_empty(self) -> bool:
        """True when the transaction does not concern the ledger at all."""
        return not (self.movements or self.changes)


@dataclass(slots=True)
class Watchlist:
    """The followed wallets (with the first slot that counts) and their accounts.

    `changed` is set whenever an account was added or removed.
    """

    wallets: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _dust: dict[str, set[str]] = field(default_factory=dict)
    _waiting: dict[str, set[str]] = field(default_factory=dict)

    def add_wallet(self, wallet: str, followed_from_slot: int) -> None:
        """Follow `wallet` from a slot on; its lamports count as an account of their own."""
        self.wallets[wallet] = followed_from_slot
        self.accounts[wallet] = wallet
        self.changed.set()

    def add_accounts(self, accounts: Iterable[FollowedAccount]) -> list[FollowedAccount]:
        """Add accounts of followed wallets; returns those that are new."""
        new = [a for a in accounts if a.wallet in self.wallets and a.address not in self.accounts]
        self.accounts.update((account.address, account.wallet) for account in new)
        if new:
            self.changed.set()
        return new

    @property
    def waiting_by_wallet(self) -> dict[str, int]:
        """By wallet, how many empty accounts are not followed because strangers have opened too many for it."""
        return {wallet: len(accounts) for wallet, accounts in self._waiting.items() if accounts}

    @property
    def waiting(self) -> int:
        """How many empty accounts are not followed, of all wallets together."""
        return sum(map(len, self._waiting.values()))

    def admits(self, account: FollowedAccount, balance: int) -> bool:
        """True for an account to follow; false for one of too many that anybody may have opened, and that hold nothing.

        Associated accounts of known tokens and accounts with a balance are followed always. The others are bounded for
        each wallet, and followed once they are paid.
        """
        address, wallet = account.address, account.wallet
        if address in self.accounts or balance > 0 or _is_associated(account):
            self._waiting.get(wallet, set()).discard(address)
            return True
        dust = self._dust.setdefault(wallet, set())
        if address not in dust and len(dust) >= _DUST_ACCOUNTS_MAX:
            self._waiting.setdefault(wallet, set()).add(address)
            return False
        dust.add(address)
        return True

    def remove_account(self, account: str) -> None:
        """Stop following a token account that belongs to somebody else now."""
        if self.accounts.pop(account, None) is not None:
            self.changed.set()

    def remove_wallet(self, wallet: str) -> list[str]:
        """Stop following `wallet`; returns the accounts that go with it."""
        self.wallets.pop(wallet, None)
        self._dust.pop(wallet, None)
        self._waiting.pop(wallet, None)
        gone = [account for account, owner in self.accounts.items() if owner == wallet]
        for account in gone:
            del self.accounts[account]
        self.changed.set()
        return gone

    def first_slot(self, account: str) -> int:
        """The first slot whose transactions count for `account`."""
        wallet = self.accounts.get(account)
        return 0 if wallet is None else self.wallets.get(wallet, 0)

    def is_wallet(self, account: str) -> bool:
        """True for a wallet followed for its lamports, false for a token account."""
        return account in self.wallets

    def entry(self, observation: Observation, notified_at: float | None = None) -> Entry:
        """The part of `observation` that the ledger keeps."""
        changes = self._changes(observation)
        return Entry(observation, self._movements(observation), changes, self._opened(changes), notified_at)

    def _movements(self, observation: Observation) -> tuple[Movement, ...]:
        accounts, wallets = self.accounts, self.wallets
        return tuple(
            [
                movement
                for movement in observation.movements
                if movement.mint is not None
                and (
                    movement.source_owner in wallets
                    or movement.destination_owner in wallets
                    # Lamports sent to a token account of a wallet are not sent to the wallet. Whose an account is,
                    # its address does not say: it may have been handed over, or opened again by somebody else.
                    or (
                        movement.kind is not Kind.NATIVE_TRANSFER
                        and (
                            (movement.source in accounts and movement.source_owner is None)
                            or (movement.destination in accounts and movement.destination_owner is None)
                        )
                    )
                )
            ]
        )

    def _changes(self, observation: Observation) -> tuple[tuple[BalanceChange, int], ...]:
        wallets = self.wallets
        changes: list[tuple[BalanceChange, int]] = []
        if not observation.failed:
            unexplained = {finding.account: finding.difference for finding in observation.unexplained}
            changes = [
                (change, unexplained.get(change.account, 0)) for change in observation.balances if self._is_ours(change)
            ]
        # A failed transaction moves no tokens, but its fee left somebody's lamports.
        changes += [
            (BalanceChange(account, account, NATIVE_SOL, SYSTEM_PROGRAM, SOL_DECIMALS, *lamports), 0)
            for account, lamports in observation.lamports.items()
            if account in wallets
        ]
        return tuple(changes)

    def _is_ours(self, change: BalanceChange) -> bool:
        """Whether a balance was a followed wallet's: asked of each change, by the owner that the node names."""
        if change.owner is None:
            return change.account in self.accounts
        if change.owner not in self.wallets:
            return False
        if change.account in self.accounts or change.program is None:
            return True
        return self.admits(FollowedAccount(change.account, change.owner, change.mint, change.program), change.post)

    def _opened(self, changes: Iterable[tuple[BalanceChange, int]]) -> tuple[FollowedAccount, ...]:
        accounts, wallets = self.accounts, self.wallets
        return tuple(
            [
                FollowedAccount(change.account, change.owner, change.mint, change.program)
                for change, _ in changes
                if change.account not in accounts
                and change.owner in wallets
                and change.program is not None
                and change.mint != NATIVE_SOL
            ]
        )


@lru_cache(maxsize=10_000)
def _associated(wallet: str, mint: str, program: str) -> str:
    seeds = [bytes(Pubkey.from_string(part)) for part in (wallet, program, mint)]
    address, _ = Pubkey.find_program_address(seeds, Pubkey.from_string(ASSOCIATED_TOKEN_PROGRAM))
    return str(address)


def _is_associated(account: FollowedAccount) -> bool:
    """True for the account of a known token that everybody pays to when they pay to the wallet."""
    if account.mint not in _KNOWN_MINTS:
        return False
    return account.address == _associated(account.wallet, account.mint, account.program)
