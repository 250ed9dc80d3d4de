"""Addresses and signatures as people type them, and what is there: only a wallet can be followed for payments."""

from typing import TYPE_CHECKING, Final

from solders.pubkey import Pubkey
from solders.signature import Signature

from chain.accounts import AccountState
from chain.programs import SYSTEM_PROGRAM, TOKEN_PROGRAMS

if TYPE_CHECKING:  # settings read addresses, and need no client of nodes for that
    from chain.node import Node

INCINERATOR: Final = "1nc1nerator11111111111111111111111111111111"
"""What is sent there is lost for good."""


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


async def slot_of_wallet(node: "Node", address: str) -> int:
    """The newest slot, at which `address` is a wallet or nothing yet.

    Raises:
        NotAWalletError: It is something else.
        RpcError: No node answers.
    """
    from chain.reached import ReachedSlots  # settings read addresses, and need no client of nodes for that

    slot, account = await node.account(address)
    if account is not None and (what := _other_than_wallet(account)) is not None:
        raise NotAWalletError(f"{address} is {what}.")
    # From a slot that nothing has reached nothing would ever be followed.
    reached = await ReachedSlots(node.pool, "confirmed").newest()
    return slot if reached is None else min(slot, reached)


async def check_payee(node: "Node", address: str, *, may_be_of_program: bool, paid_by: str | None) -> None:
    """Refuse an address to which nothing may be paid: nobody can sign for it, or the money would not leave.

    Args:
        node: Where the account is looked up.
        address: A canonical address.
        may_be_of_program: An address that only a program can sign for, such as a multisig's vault, will do too.
        paid_by: The wallet that will pay, where it is known: it cannot be paid by itself.

    Raises:
        NotAWalletError: It is no wallet.
        RpcError: No node answers.
    """
    if address == paid_by:
        raise NotAWalletError(f"{address} is the wallet that pays; give the wallet that is paid.")
    if address == INCINERATOR:
        raise NotAWalletError(f"{address} is the incinerator, not a wallet; give the wallet that is paid.")
    _, account = await node.account(address)
    if account is not None and (what := _other_than_wallet(account)) is not None:
        raise NotAWalletError(f"{address} is {what}.")
    if account is not None and account.program != SYSTEM_PROGRAM and not account.is_multisig:
        raise NotAWalletError(f"{address} is an account of a program, not a wallet; give the wallet that is paid.")
    is_of_program = not Pubkey.from_string(address).is_on_curve() or (account is not None and account.is_multisig)
    if is_of_program and not may_be_of_program:
        raise NotAWalletError(
            f"{address} is a program's address, for which no key signs; give a wallet, or ask an admin to set it."
        )


def _other_than_wallet(account: AccountState) -> str | None:
    if account.is_token_account:
        return "a token account, not a wallet; give the wallet that owns it"
    if account.program in TOKEN_PROGRAMS and not account.is_multisig:
        return "a mint, not a wallet; give the wallet that is paid"
    if account.executable:
        return "a program, not a wallet; give the wallet that is paid"
    return None
