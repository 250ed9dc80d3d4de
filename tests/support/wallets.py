"""Wallets and the transactions they sign, built with nothing of the localnet but its constants."""

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token.instructions import get_associated_token_address

from localnet.accounts import parse_mint

SPL = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
SPL_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ATA_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
USDC = Pubkey.from_string("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU")
USDT = Pubkey.from_string("EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS")
PYUSD = Pubkey.from_string("CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM")
WRAPPED_SOL = Pubkey.from_string("So11111111111111111111111111111111111111112")

SOL = 10**9
USD = 10**6


def wallet(number: int) -> Keypair:
    return Keypair.from_seed(bytes([number]) * 32)


def token_account(owner: Pubkey, mint: Pubkey, program: Pubkey = SPL) -> Pubkey:
    return get_associated_token_address(owner, mint, program)


def signed(instructions, signers, blockhash: Hash, *, tables=(), legacy=False) -> VersionedTransaction:
    """Paid by the first signer."""
    payer = signers[0].pubkey()
    if legacy:
        message = Message.new_with_blockhash(instructions, payer, blockhash)
    else:
        message = MessageV0.try_compile(payer, instructions, list(tables), blockhash)
    return VersionedTransaction(message, signers)


def transfer(source, destination, authority, amount, program=SPL) -> Instruction:
    return Instruction(
        program,
        bytes([3]) + amount.to_bytes(8, "little"),
        [
            AccountMeta(source, False, True),
            AccountMeta(destination, False, True),
            AccountMeta(authority, True, False),
        ],
    )


def transfer_checked(source, mint, destination, authority, amount, decimals=6, program=SPL) -> Instruction:
    return Instruction(
        program,
        bytes([12]) + amount.to_bytes(8, "little") + bytes([decimals]),
        [
            AccountMeta(source, False, True),
            AccountMeta(mint, False, False),
            AccountMeta(destination, False, True),
            AccountMeta(authority, True, False),
        ],
    )


def close_account(account, destination, authority, program=SPL) -> Instruction:
    metas = [
        AccountMeta(account, False, True),
        AccountMeta(destination, False, True),
        AccountMeta(authority, True, False),
    ]
    return Instruction(program, bytes([9]), metas)


def batch(*parts: Instruction) -> Instruction:
    """p-token's Batch: [accounts][data length][data] per part, the accounts in one row."""
    data = bytes([255])
    for part in parts:
        data += bytes([len(part.accounts), len(part.data)]) + bytes(part.data)
    return Instruction(SPL, data, [meta for part in parts for meta in part.accounts])


def recover_nested(wallet: Pubkey, owner_mint: Pubkey, nested_mint: Pubkey) -> Instruction:
    """Moves `nested_mint` out of an account that belongs to the wallet's own account of `owner_mint`."""
    owner_account = token_account(wallet, owner_mint)
    metas = [
        AccountMeta(token_account(owner_account, nested_mint), False, True),
        AccountMeta(nested_mint, False, False),
        AccountMeta(token_account(wallet, nested_mint), False, True),
        AccountMeta(owner_account, False, False),
        AccountMeta(owner_mint, False, False),
        AccountMeta(wallet, True, True),
        AccountMeta(SPL, False, False),
    ]
    return Instruction(ATA_PROGRAM, bytes([2]), metas)


def memo(text: str) -> Instruction:
    return Instruction(MEMO, text.encode(), [])


class Town:
    """Alice and Bob on a chain, each with SOL and a USDC account; Alice pays."""

    def __init__(self, chain, alice=1, bob=2):
        self.chain = chain
        self.alice, self.bob = wallet(alice), wallet(bob)
        for one in (self.alice, self.bob):
            chain.faucet.fund_lamports(one.pubkey(), 10 * SOL)
            chain.faucet.fund_token(one.pubkey(), USDC, 1000 * USD)
        self.from_account = token_account(self.alice.pubkey(), USDC)
        self.to_account = token_account(self.bob.pubkey(), USDC)

    def payment(self, amount, *more, legacy=False, blockhash=None):
        """A signed payment from Alice to Bob, not sent."""
        instruction = transfer(self.from_account, self.to_account, self.alice.pubkey(), amount)
        blockhash = self.chain.blocks[-1].hash if blockhash is None else blockhash
        return signed([instruction, *more], [self.alice], blockhash, legacy=legacy)

    def pay(self, amount, *more, legacy=False):
        """A payment from Alice to Bob, landed in the open block."""
        return self.chain.send(self.payment(amount, *more, legacy=legacy))

    def account(self, owner, mint):
        program = parse_mint(self.chain.bank.get_account(mint)).program
        return token_account(owner.pubkey(), mint, program)
