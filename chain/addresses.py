"""Addresses and signatures as people type them, and what is there: only a wallet can be followed for payments."""

from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.accounts import AccountState
from chain.node import Node
from chain.programs import TOKEN_PROGRAMS


class NotAWalletError(ValueError):
    """The address cannot be followed; the message is a sentence that says what it is and what to give instead."""


def parse_address(text: str) -> str | None:
    """`text` as a canonical address, or `None` when it is not 32 bytes in base58."""
    try:
        return str(Pubkey.from_string(text.strip()))
    except ValueError:
        return None


def is_signature(text: str) -> bool:
    """True for the signature of a transaction: 64 bytes in base58."""
    try:
        return str(Signature.from_string(text)) == text
    except ValueError:
        return False


async def slot_of_wallet(node: Node, address: str) -> int:
    """The newest slot, at which `address` is a wallet or nothing yet.

    Raises:
        NotAWalletError: It is something else.
        RpcError: No node answers.
    """
    slot, account = await node.account(address)
    if account is not None and (what := _other_than_wallet(account)) is not None:
        raise NotAWalletError(f"{address} is {what}.")
    return slot


def _other_than_wallet(account: AccountState) -> str | None:
    if account.is_token_account:
        return "a token account, not a wallet; give the wallet that owns it"
    if account.program in TOKEN_PROGRAMS and not account.is_multisig:
        return "a mint, not a wallet; give the wallet that is paid"
    if account.executable:
        return "a program, not a wallet; give the wallet that is paid"
    return None
