"""A small economy on a real LiteSVM bank: wallets, mints, accounts, and actions that move money.

Each action returns its instructions together with the movements it causes, written down from what the action
means, never from what the decoder says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.system_program import TransferParams as LamportParams
from solders.system_program import transfer as lamport_transfer
from solders.token.state import TokenAccount
from solders.transaction import VersionedTransaction
from spl.token import instructions as spl
from spl.token import models

from chain.instructions import batch, transfer_checked_with_fee
from chain.programs import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from ledger.observation import Kind
from ledger.tokens import WRAPPED_SOL_MINT
from localnet.bank import Bank, Executed
from localnet.faucet import Faucet
from localnet.genesis import FAUCET, FEE_MINT, write_genesis
from localnet.payments import create_lookup_table
from tests.support import raw_instructions as raw

SPL = Pubkey.from_string(TOKEN_PROGRAM)
SPL_2022 = Pubkey.from_string(TOKEN_2022_PROGRAM)
USDC = Pubkey.from_string("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU")
PYUSD = Pubkey.from_string("CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM")
WSOL = Pubkey.from_string(WRAPPED_SOL_MINT)
RENT = 2_039_280

PROGRAM_OF = {USDC: SPL, WSOL: SPL, PYUSD: SPL_2022, FEE_MINT: SPL_2022}
DECIMALS = {USDC: 6, WSOL: 9, PYUSD: 6, FEE_MINT: 6}


def expected_fee(mint: Pubkey, amount: int) -> int:
    """The fee Token-2022 withholds for the fee mint: 1 %, rounded up, five tokens at most."""
    return min(-(-amount // 100), 5_000_000) if mint == FEE_MINT else 0


@dataclass
class Moved:
    """A movement as an action means it: kind, mint, accounts, amount, fee."""

    kind: Kind
    mint: Pubkey
    source: Pubkey | None
    destination: Pubkey | None
    amount: int
    fee: int = 0

    def key(self):
        text = [str(x) if x else None for x in (self.mint, self.source, self.destination)]
        return (self.kind, *text, self.amount, self.fee)


@dataclass
class Action:
    instructions: list[Instruction]
    moved: list[Moved]
    signers: list[Keypair] = field(default_factory=list)


class World:
    """Three wallets, each with an account of every mint and money on it."""

    def __init__(self) -> None:
        self.bank = Bank()
        write_genesis(self.bank)
        self.slot = 100
        self.bank.set_slot(self.slot, 1_700_000_000, [(self.slot - 1, Hash.new_unique())])
        self.wallets = [Keypair.from_seed(bytes([n + 1]) * 32) for n in range(3)]
        self.executed: list[Executed] = []
        self.tables: list[AddressLookupTableAccount] = []
        faucet = Faucet(self.bank, send=self._execute, blockhash=Hash.default)
        for wallet in self.wallets:
            faucet.fund_lamports(wallet.pubkey(), 50_000_000_000)
            for mint in PROGRAM_OF:
                faucet.fund_token(wallet.pubkey(), mint, 1_000_000_000)

    def _execute(self, transaction) -> Executed:
        done = self.bank.execute(transaction, self.slot, 1_700_000_000)
        self.executed.append(done)
        return done

    def account(self, wallet: int, mint: Pubkey) -> Pubkey:
        return spl.get_associated_token_address(self.wallets[wallet].pubkey(), mint, PROGRAM_OF[mint])

    def balance(self, account: Pubkey) -> int:
        state = self.bank.get_account(account)
        return TokenAccount.from_bytes(bytes(state.data)[:165]).amount if state else 0

    def send(self, actions: list[Action], payer: int = 0, *, legacy: bool = False) -> Executed:
        """Run the actions in one transaction, signed by all wallets whose signature it needs."""
        self.advance(1)
        instructions = [i for action in actions for i in action.instructions]
        key, blockhash = self.wallets[payer].pubkey(), Hash.new_unique()
        message = (
            Message.new_with_blockhash(instructions, key, blockhash)
            if legacy
            else MessageV0.try_compile(key, instructions, self.tables, blockhash)
        )
        known = {k.pubkey(): k for k in [*self.wallets, FAUCET, *(s for a in actions for s in a.signers)]}
        signers = [known[key] for key in message.account_keys[: message.header.num_required_signatures]]
        return self._execute(VersionedTransaction(message, signers))

    def run(self, *instructions: Instruction, signers: Sequence[Keypair] = ()) -> Executed:
        """Run instructions that nobody has said the meaning of; they must succeed."""
        done = self.send([Action(list(instructions), [], list(signers))])
        assert done.err is None, (done.err, done.metadata.logs())
        return done

    def advance(self, slots: int) -> None:
        self.slot += slots
        self.bank.set_slot(self.slot, 1_700_000_000 + self.slot, [(self.slot - 1, Hash.new_unique())])

    def look_up(self, accounts: list[Pubkey]) -> Pubkey:
        """Make a lookup table of `accounts`, which every later transaction uses; the first wallet's own."""
        make, table = create_lookup_table(self.wallets[0].pubkey(), self.slot, accounts)
        self.run(*make)
        self.advance(1)
        self.tables.append(table)
        return table.key

    # Actions -------------------------------------------------------------------------------------------

    def transfer(self, mint: Pubkey, source: int, destination: int, amount: int) -> Action:
        a, b, owner = self.account(source, mint), self.account(destination, mint), self.wallets[source]
        instruction = spl.transfer(
            models.TransferParams(program_id=PROGRAM_OF[mint], source=a, dest=b, owner=owner.pubkey(), amount=amount)
        )
        return Action([instruction], [Moved(Kind.TRANSFER, mint, a, b, amount)])

    def transfer_checked(self, mint: Pubkey, source: int, destination: int, amount: int) -> Action:
        a, b, owner = self.account(source, mint), self.account(destination, mint), self.wallets[source]
        instruction = spl.transfer_checked(
            models.TransferCheckedParams(
                program_id=PROGRAM_OF[mint],
                source=a,
                mint=mint,
                dest=b,
                owner=owner.pubkey(),
                amount=amount,
                decimals=DECIMALS[mint],
            )
        )
        fee = expected_fee(mint, amount) if a != b else 0
        return Action([instruction], [Moved(Kind.TRANSFER_CHECKED, mint, a, b, amount, fee)])

    def transfer_with_fee(self, source: int, destination: int, amount: int) -> Action:
        a, b = self.account(source, FEE_MINT), self.account(destination, FEE_MINT)
        fee = expected_fee(FEE_MINT, amount)
        instruction = transfer_checked_with_fee(
            a, FEE_MINT, b, self.wallets[source].pubkey(), amount, DECIMALS[FEE_MINT], fee
        )
        return Action(
            [instruction], [Moved(Kind.TRANSFER_CHECKED_WITH_FEE, FEE_MINT, a, b, amount, fee if a != b else 0)]
        )

    def in_batch(self, actions: list[Action]) -> Action:
        return Action([batch([i for a in actions for i in a.instructions])], [m for a in actions for m in a.moved])

    def mint(self, mint: Pubkey, destination: int, amount: int) -> Action:
        account = self.account(destination, mint)
        instruction = spl.mint_to(
            models.MintToParams(
                program_id=PROGRAM_OF[mint],
                mint=mint,
                dest=account,
                mint_authority=FAUCET.pubkey(),
                amount=amount,
            )
        )
        return Action([instruction], [Moved(Kind.MINT, mint, None, account, amount)])

    def burn(self, mint: Pubkey, source: int, amount: int) -> Action:
        account = self.account(source, mint)
        instruction = spl.burn(
            models.BurnParams(
                program_id=PROGRAM_OF[mint],
                account=account,
                mint=mint,
                owner=self.wallets[source].pubkey(),
                amount=amount,
            )
        )
        return Action([instruction], [Moved(Kind.BURN, mint, account, None, amount)])

    def wrap(self, source: int, destination: int, amount: int) -> Action:
        account, wallet = self.account(destination, WSOL), self.wallets[source].pubkey()
        pay = lamport_transfer(LamportParams(from_pubkey=wallet, to_pubkey=account, lamports=amount))
        sync = spl.sync_native(models.SyncNativeParams(program_id=SPL, account=account))
        moved = [Moved(Kind.NATIVE_TRANSFER, Pubkey.default(), wallet, account, amount)]
        if amount:
            moved.append(Moved(Kind.WRAP, WSOL, None, account, amount))
        return Action([pay, sync], moved)

    def unwrap(self, source: int, amount: int) -> Action:
        account, wallet = self.account(source, WSOL), self.wallets[source].pubkey()
        moved = [Moved(Kind.UNWRAP, WSOL, account, None, amount)] if amount else []
        return Action([raw.unwrap(account, wallet, wallet, amount)], moved)

    def pay_lamports(self, source: int, destination: int, amount: int) -> Action:
        a, b = self.wallets[source].pubkey(), self.wallets[destination].pubkey()
        instruction = lamport_transfer(LamportParams(from_pubkey=a, to_pubkey=b, lamports=amount))
        return Action([instruction], [Moved(Kind.NATIVE_TRANSFER, Pubkey.default(), a, b, amount)])

    def through_temporary_account(self, mint: Pubkey, source: int, destination: int, amount: int) -> Action:
        """Open an account, pass money through it, and close it again: it appears in no token balance."""
        temporary, owner = Keypair(), self.wallets[source].pubkey()
        create = create_account(
            CreateAccountParams(from_pubkey=owner, to_pubkey=temporary.pubkey(), lamports=RENT, space=165, owner=SPL)
        )
        open_ = spl.initialize_account3(
            models.InitializeAccount3Params(program_id=SPL, account=temporary.pubkey(), mint=mint, owner=owner)
        )
        a, b = self.account(source, mint), self.account(destination, mint)
        there = spl.transfer(
            models.TransferParams(program_id=SPL, source=a, dest=temporary.pubkey(), owner=owner, amount=amount)
        )
        on = spl.transfer(
            models.TransferParams(program_id=SPL, source=temporary.pubkey(), dest=b, owner=owner, amount=amount)
        )
        close = spl.close_account(
            models.CloseAccountParams(program_id=SPL, account=temporary.pubkey(), dest=owner, owner=owner)
        )
        moved = [
            Moved(Kind.TRANSFER, mint, a, temporary.pubkey(), amount),
            Moved(Kind.TRANSFER, mint, temporary.pubkey(), b, amount),
        ]
        return Action([create, open_, there, on, close], moved, [temporary])

    def wrapped_purse(self, source: int, destination: int, amount: int, spend: int) -> Action:
        """The pattern of every swap from SOL: fund and open a temporary wrapped account, spend, close."""
        purse, owner = Keypair(), self.wallets[source].pubkey()
        create = create_account(
            CreateAccountParams(
                from_pubkey=owner, to_pubkey=purse.pubkey(), lamports=RENT + amount, space=165, owner=SPL
            )
        )
        open_ = spl.initialize_account3(
            models.InitializeAccount3Params(program_id=SPL, account=purse.pubkey(), mint=WSOL, owner=owner)
        )
        b = self.account(destination, WSOL)
        pay = spl.transfer(
            models.TransferParams(program_id=SPL, source=purse.pubkey(), dest=b, owner=owner, amount=spend)
        )
        close = spl.close_account(
            models.CloseAccountParams(program_id=SPL, account=purse.pubkey(), dest=owner, owner=owner)
        )
        moved = [Moved(Kind.TRANSFER, WSOL, purse.pubkey(), b, spend)]
        if amount:
            moved.insert(0, Moved(Kind.WRAP, WSOL, None, purse.pubkey(), amount))
        if amount > spend:
            moved.append(Moved(Kind.CLOSE, WSOL, purse.pubkey(), None, amount - spend))
        return Action([create, open_, pay, close], moved, [purse])

    def reopen_wrapped(self, wallet: int, balance: int) -> Action:
        """Close the wallet's wrapped account, which holds `balance`, and open it again empty."""
        account, owner = self.account(wallet, WSOL), self.wallets[wallet].pubkey()
        close = spl.close_account(models.CloseAccountParams(program_id=SPL, account=account, dest=owner, owner=owner))
        again = spl.create_idempotent_associated_token_account(owner, owner, WSOL)
        return Action([close, again], [Moved(Kind.CLOSE, WSOL, account, None, balance)] if balance else [])

    def fail(self, wallet: int) -> Action:
        """Spend more than there is."""
        return self.transfer(USDC, wallet, (wallet + 1) % 3, 2**63)


Build = Callable[[World], Action]
