"""Gives away SOL and tokens, by real transactions that the faucet's key signs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from spl.token.instructions import create_idempotent_associated_token_account, get_associated_token_address

from localnet.accounts import parse_mint
from localnet.bank import Bank
from localnet.encoding import Executed
from localnet.genesis import FAUCET, WRAPPED_SOL

_MINT_TO = 7
_SYNC_NATIVE = 17
_BASE_COMPUTE_UNITS = 200_000
_DISTINCT_LIMITS = 100_000


@dataclass(slots=True)
class Faucet:
    """Sends through `send`, which lands a transaction, signing over what `blockhash` says is recent."""

    bank: Bank
    send: Callable[[VersionedTransaction], Executed]
    blockhash: Callable[[], Hash]
    _serial: "count[int]" = field(default_factory=count)

    def fund_lamports(self, to: Pubkey, lamports: int) -> Executed:
        """Transfer `lamports` to `to`. Raises RuntimeError where the transaction fails."""
        return self._land([transfer(TransferParams(from_pubkey=FAUCET.pubkey(), to_pubkey=to, lamports=lamports))])

    def fund_token(self, owner: Pubkey, mint: Pubkey, amount: int) -> Pubkey:
        """Give `owner` `amount` base units of `mint`; answers their associated token account.

        Wrapped SOL is wrapped from the faucet's own lamports. Raises ValueError where the faucet has no
        authority over `mint`, RuntimeError where the transaction fails.
        """
        parsed = parse_mint(self.bank.get_account(mint))
        if parsed is None or (mint != WRAPPED_SOL and parsed.authority != FAUCET.pubkey()):
            raise ValueError(f"{mint} is not a mint this faucet can mint")
        payer = FAUCET.pubkey()
        account = get_associated_token_address(owner, mint, parsed.program)
        give = [create_idempotent_associated_token_account(payer, owner, mint, parsed.program)]
        if mint == WRAPPED_SOL:
            give += [
                transfer(TransferParams(from_pubkey=payer, to_pubkey=account, lamports=amount)),
                Instruction(parsed.program, bytes([_SYNC_NATIVE]), [AccountMeta(account, False, True)]),
            ]
        else:
            minted = [
                AccountMeta(mint, False, True),
                AccountMeta(account, False, True),
                AccountMeta(payer, True, False),
            ]
            data = bytes([_MINT_TO]) + amount.to_bytes(8, "little")
            give.append(Instruction(parsed.program, data, minted))
        self._land(give)
        return account

    def _land(self, instructions: Sequence[Instruction]) -> Executed:
        # Two gifts alike under one blockhash would be one transaction: their limits tell them apart.
        limit = set_compute_unit_limit(_BASE_COMPUTE_UNITS + next(self._serial) % _DISTINCT_LIMITS)
        message = MessageV0.try_compile(FAUCET.pubkey(), [limit, *instructions], [], self.blockhash())
        executed = self.send(VersionedTransaction(message, [FAUCET]))
        if executed.err is not None:
            raise RuntimeError(f"the faucet's transaction {executed.signature} failed: {executed.err}")
        return executed
