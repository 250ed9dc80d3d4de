"""What an address is on chain: only a wallet can be followed for payments."""

from typing import Final

from chain.node import AccountState, Node
from chain.programs import TOKEN_PROGRAMS

_MULTISIG_BYTES: Final = 355


class NotAWalletError(ValueError):
    """The address cannot be followed; the message is a sentence that says what it is and what to give instead."""


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
    # A multisig of the token programs can own token accounts and be paid; what is left of theirs is a mint.
    if account.program in TOKEN_PROGRAMS and len(account.data) != _MULTISIG_BYTES:
        return "a mint, not a wallet; give the wallet that is paid"
    if account.executable:
        return "a program, not a wallet; give the wallet that is paid"
    return None
