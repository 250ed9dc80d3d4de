"""The ledger of blocks: slots tick, transactions land and climb processed -> confirmed -> finalized.

Synchronous and, given a seed and a clock, deterministic. The server (server.py) calls `tick` at a set pace;
tests may call it by hand.
"""

import hashlib
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from solders.account import Account
from solders.hash import Hash
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from localnet import forks
from localnet.accounts import parse_token_account
from localnet.bank import SLOT_HASHES_MAX, Bank, Rejected
from localnet.blocks import BLOCKHASH_AGE_BLOCKS_MAX, Block, Commitment, View
from localnet.durable_nonces import lives_by_nonce, nonce_key
from localnet.encoding import Executed
from localnet.faucet import Faucet
from localnet.genesis import write_genesis
from localnet.versions import Versions

BLOCKHASH_NOT_FOUND: Final = "BlockhashNotFound"
# Slots 1 to 4 are skipped, so that nothing can take a slot for a block height and get away with it.
FIRST_SLOT: Final = 5
# How far behind the tip an account's state can still be read, beyond the finalized block.
REMEMBERED_BLOCKS: Final = 150


class Listener(Protocol):
    """Whoever wants to hear of the chain's progress; called in the chain's own thread, must not block."""

    def on_processed(self, executed: Executed) -> None:
        """A transaction landed in the open block."""

    def on_slot(self, slot: int, parent: int, root: int) -> None:
        """A new slot opened on `parent`; `root` is the newest finalized slot."""

    def on_confirmed(self, block: Block) -> None:
        """A block was confirmed."""

    def on_finalized(self, block: Block) -> None:
        """A block was finalized."""


class Chain:
    """A chain with one leader and no votes: a block climbs by the number of blocks built on it.

    A block is confirmed when `confirm_slots` blocks have closed after it (0: as soon as it closes), finalized
    when `finalize_slots` have. `skip_rate` is the chance of each slot to pass without a block. With
    `root_stride` above 1 the root jumps that many blocks at a time, and only the block it lands on is
    notified as finalized: a real cluster does that.
    """

    def __init__(
        self,
        *,
        confirm_slots: int = 1,
        finalize_slots: int = 32,
        skip_rate: float = 0.0,
        root_stride: int = 1,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 0 <= confirm_slots <= finalize_slots:
            raise ValueError("confirm_slots must be between 0 and finalize_slots")
        if not 0 <= skip_rate < 1 or root_stride < 1:
            raise ValueError("skip_rate must be in [0, 1) and root_stride at least 1")
        self.confirm_slots = confirm_slots
        self.finalize_slots = finalize_slots
        self.skip_rate = skip_rate
        self.root_stride = root_stride
        self.listeners: list[Listener] = []
        self.bank = Bank()
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - skipped slots, not secrets
        self._seed = seed
        self._executed: dict[str, Executed] = {}
        self._by_address: dict[Pubkey, list[Executed]] = {}
        self._token_accounts: dict[Pubkey, set[Pubkey]] = {}
        self._versions = Versions()
        self.relands = forks.Relands()
        write_genesis(self.bank)
        genesis = Block(0, 0, 0, Hash.default(), int(clock()))
        genesis.blockhash = self._hash_of(genesis)
        self.blocks = [genesis]  # closed ones; a block's height is its index
        self._by_slot = {0: genesis}
        self._height_of_hash = {genesis.blockhash: 0}
        self._slot_hashes = deque([(0, genesis.blockhash)], SLOT_HASHES_MAX)
        self.confirmed_height = 0
        self.finalized_height = 0
        self._pruned_height = 0
        self.transaction_count = 0
        self.open = self._open_block(FIRST_SLOT)
        self.faucet = Faucet(self.bank, self.send, lambda: self.blocks[-1].hash)

    # --- writing

    def send(self, transaction: VersionedTransaction, *, preflight: bool = False) -> Executed:
        """Land a transaction in the open block.

        Raises Rejected where it cannot land: blockhash unknown or expired, already processed, or what the
        bank refuses; with `preflight` also where it would land but fail, and then it does not land.
        """
        if not self.lets_live(transaction.message, self.open):
            raise Rejected(BLOCKHASH_NOT_FOUND)
        block = self.open
        executed = self.bank.execute(transaction, block.slot, block.time)
        if preflight and executed.err is not None:
            # Simulating first would execute every good transaction twice: undo the rare bad one instead.
            self.bank.undo(executed)
            raise Rejected(executed.err, executed.metadata.logs(), executed)
        executed.index = len(block.transactions)
        self._versions.record(block, executed.undo.items())
        executed.undo = {}  # the block remembers; whole blocks are undone here, not transactions
        block.transactions.append(executed)
        self._executed[executed.signature] = executed
        for key in executed.keys:
            self._by_address.setdefault(key, []).append(executed)
        for balance in executed.post_token_balances:
            self._token_accounts.setdefault(balance.owner, set()).add(executed.keys[balance.account_index])
        self.transaction_count += 1
        for listener in self.listeners:
            listener.on_processed(executed)
        return executed

    def tick(self, count: int = 1) -> int:
        """Close the open block and open the next, `count` times; answers the slot now open."""
        for _ in range(count):
            self._close()
            slot = self.open.slot + 1
            while self._random.random() < self.skip_rate:
                slot += 1
            self._advance(slot)
        return self.open.slot

    def fork(
        self,
        depth: int,
        *,
        drop: forks.Choice = None,
        reland: forks.Choice = None,
        reland_after: int = 0,
        seed: int = 0,
    ) -> forks.ForkReport:
        """Abandon the open block and the newest `depth` closed ones: the cluster chose another fork.

        Which of their transactions vanish and which land again, `reland_after` ticks from now, see
        `forks.choose`. Confirmed blocks can be abandoned, finalized ones cannot: that raises ValueError.
        """
        if not 0 <= depth <= self.blocks[-1].height - self.finalized_height:
            raise ValueError(f"only {self.blocks[-1].height - self.finalized_height} slots are not finalized yet")
        abandoned = [*self.blocks[len(self.blocks) - depth :], self.open]
        for block in reversed(abandoned):
            self._abandon(block)
        del self.blocks[len(self.blocks) - depth :]
        self.confirmed_height = min(self.confirmed_height, self.blocks[-1].height)
        report = forks.ForkReport([block.slot for block in abandoned])
        transactions = [executed.transaction for block in abandoned for executed in block.transactions]
        dropped, relanding = forks.choose(transactions, drop, reland, seed)
        report.dropped = [str(transaction.signatures[0]) for transaction in dropped]
        self.relands.add(report, relanding, reland_after)
        self._advance(abandoned[-1].slot + 1)
        return report

    # --- reading

    def view(self, behind: int = 0) -> View:
        """The newest slot at each commitment, for a node that lags `behind` blocks (at most 150)."""
        behind = min(behind, REMEMBERED_BLOCKS)
        if not behind:
            return View(
                self.open.slot,
                self.blocks[self.confirmed_height].slot,
                self.blocks[self.finalized_height].slot,
            )
        return View(
            self.blocks[max(0, self.open.height - behind)].slot,
            self.blocks[max(0, self.confirmed_height - behind)].slot,
            self.blocks[max(0, self.finalized_height - behind)].slot,
        )

    def slot(self, commitment: Commitment = "processed") -> int:
        """The newest slot at `commitment`."""
        return self.view().slot(commitment)

    def block(self, slot: int) -> Block | None:
        """The block of `slot`, the open one included; None where the slot has none."""
        return self._by_slot.get(slot)

    def is_recent(self, blockhash: Hash, height: int | None = None) -> bool:
        """True when `blockhash` can land a transaction in a block of `height` (default: the open one)."""
        height = self.open.height if height is None else height
        known = self._height_of_hash.get(blockhash)
        return known is not None and known <= height <= known + BLOCKHASH_AGE_BLOCKS_MAX

    def lets_live(self, message: Message | MessageV0 | MessageV1, block: Block) -> bool:
        """True when `message` can land in `block`: by a recent blockhash, or by a nonce as it was at its end."""
        if self.is_recent(message.recent_blockhash, block.height):
            return True
        if isinstance(message, MessageV1) or (key := nonce_key(message)) is None:
            return False
        return lives_by_nonce(message, self.account(key, block.slot), block.previous_blockhash)

    def find(self, signature: str) -> Executed | None:
        """The transaction with this signature on the living fork."""
        return self._executed.get(signature)

    def history(self, address: Pubkey) -> Sequence[Executed]:
        """Every transaction that mentions `address` in its keys, loaded ones included, oldest first."""
        return self._by_address.get(address, ())

    def transactions(self) -> Iterator[Executed]:
        """Every transaction of the living fork in order of execution, the open block's included."""
        for block in self.blocks:
            yield from block.transactions
        yield from self.open.transactions

    def account(self, address: Pubkey, slot: int | None = None) -> Account | None:
        """The account at the end of `slot` (default: now); of older slots than `view(150)` as of then."""
        older = None if slot is None else self._versions.older(address, slot)
        return self.bank.get_account(address) if older is None else older[0]

    def token_accounts_of(self, owner: Pubkey, slot: int | None = None) -> list[tuple[Pubkey, Account]]:
        """The token accounts that `owner` owned at the end of `slot`, by address."""
        found = []
        for address in sorted(self._token_accounts.get(owner, ()), key=bytes):
            account = self.account(address, slot)
            parsed = parse_token_account(account)
            if account is not None and parsed is not None and parsed.owner == owner:
                found.append((address, account))
        return found

    def program_accounts(self, program: Pubkey, slot: int | None = None) -> list[tuple[Pubkey, Account]]:
        """The accounts that `program` owned at the end of `slot`."""
        now = dict(self.bank.svm.get_program_accounts(program))
        if slot is not None:
            for address in self._versions.addresses():
                older = self._versions.older(address, slot)
                if older is not None:
                    account = older[0]
                    now.pop(address, None)
                    if account is not None and account.owner == program:
                        now[address] = account
        return list(now.items())

    def true_token_balance(self, account: Pubkey) -> int | None:
        """The balance of a token account in base units now; None where there is no such account."""
        parsed = parse_token_account(self.bank.get_account(account))
        return None if parsed is None else parsed.amount

    # --- blocks

    def _close(self) -> None:
        block = self.open
        block.blockhash = self._hash_of(block)
        self.blocks.append(block)
        self._height_of_hash[block.blockhash] = block.height
        self._slot_hashes.appendleft((block.slot, block.blockhash))
        expired = block.height - 2 * BLOCKHASH_AGE_BLOCKS_MAX
        if expired >= 0:
            self._height_of_hash.pop(self.blocks[expired].hash, None)
        self._confirm(block.height - self.confirm_slots)
        self._finalize(block.height - self.finalize_slots)

    def _confirm(self, height: int) -> None:
        while self.confirmed_height < height:
            self.confirmed_height += 1
            for listener in self.listeners:
                listener.on_confirmed(self.blocks[self.confirmed_height])

    def _finalize(self, height: int) -> None:
        if height - self.finalized_height < self.root_stride:
            return
        self.finalized_height = height
        for listener in self.listeners:
            listener.on_finalized(self.blocks[height])
        while self._pruned_height < height - REMEMBERED_BLOCKS:
            self._pruned_height += 1
            self._versions.prune(self.blocks[self._pruned_height])

    def _advance(self, slot: int) -> None:
        self.open = self._open_block(slot)
        root = self.blocks[self.finalized_height].slot
        for listener in self.listeners:
            listener.on_slot(slot, self.open.parent_slot, root)
        self.relands.land(self.send)

    def _open_block(self, slot: int) -> Block:
        parent = self.blocks[-1]
        block = Block(slot, parent.slot, parent.height + 1, parent.hash, max(parent.time, int(self._clock())))
        self._by_slot[slot] = block
        self.bank.set_slot(slot, block.time, list(self._slot_hashes))
        return block

    def _abandon(self, block: Block) -> None:
        for address, account in block.before.items():
            self.bank.set_account(address, account)
        self._versions.abandon(block)
        for executed in reversed(block.transactions):
            self.bank.forget(executed)
            del self._executed[executed.signature]
            for key in executed.keys:
                self._by_address[key].pop()
        self.transaction_count -= len(block.transactions)
        del self._by_slot[block.slot]
        if block.blockhash is not None:
            del self._height_of_hash[block.blockhash]
            self._slot_hashes.popleft()

    def _hash_of(self, block: Block) -> Hash:
        digest = hashlib.sha256(f"{self._seed}:{block.slot}".encode() + bytes(block.previous_blockhash))
        for executed in block.transactions:
            digest.update(executed.signature.encode())
        return Hash.from_bytes(digest.digest())
