"""What exists before the first block: the devnet mints, a fee mint, wrapped SOL, a rich faucet, a stand-in program."""

import hashlib
from typing import Final

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain import programs
from ledger.tokens import WRAPPED_SOL_MINT
from localnet.accounts import (
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    mint_data,
    transfer_fee_mint_data,
)
from localnet.bank import Bank
from localnet.stand_in_program import stand_in_program

FAUCET: Final = Keypair.from_seed(hashlib.sha256(b"pay402 localnet faucet").digest())
FAUCET_LAMPORTS: Final = 500_000_000 * 10**9

WRAPPED_SOL: Final = Pubkey.from_string(WRAPPED_SOL_MINT)
DEVNET_TOKENS: Final = tuple(token for token in programs.TOKENS if token.network == "devnet")

# A Token-2022 mint whose transfers cost 1 %, at most 5 tokens: the fee is withheld at the destination.
FEE_MINT: Final = Keypair.from_seed(hashlib.sha256(b"pay402 localnet fee mint").digest()).pubkey()
FEE_DECIMALS: Final = 6
FEE_BASIS_POINTS: Final = 100
FEE_MAXIMUM: Final = 5_000_000


def write_genesis(bank: Bank) -> None:
    """Write the accounts of slot 0. Mint, fee and withdraw authority of every mint is the faucet's key."""
    bank.set_account(FAUCET.pubkey(), Account(FAUCET_LAMPORTS, b"", SYSTEM_PROGRAM))
    for token in DEVNET_TOKENS:
        mint = Pubkey.from_string(token.mint)
        if token.program == programs.TOKEN_PROGRAM:
            _write(bank, mint, TOKEN_PROGRAM, mint_data(FAUCET.pubkey(), token.decimals))
        else:
            # PYUSD carries the fee extension with its fee set to nothing, as the real mint does.
            data = transfer_fee_mint_data(FAUCET.pubkey(), token.decimals, 0, 0)
            _write(bank, mint, TOKEN_2022_PROGRAM, data)
    fee_data = transfer_fee_mint_data(FAUCET.pubkey(), FEE_DECIMALS, FEE_BASIS_POINTS, FEE_MAXIMUM)
    _write(bank, FEE_MINT, TOKEN_2022_PROGRAM, fee_data)
    bank.svm.add_program(Pubkey.from_string(programs.LIGHTHOUSE_PROGRAM), stand_in_program())
    _write(bank, WRAPPED_SOL, TOKEN_PROGRAM, mint_data(None, programs.SOL_DECIMALS))


def _write(bank: Bank, address: Pubkey, program: Pubkey, data: bytes) -> None:
    bank.set_account(address, Account(bank.svm.minimum_balance_for_rent_exemption(len(data)), data, program))
