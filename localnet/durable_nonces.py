"""Transactions that live by a nonce account instead of a recent blockhash, as a node admits and ends them.

The System program itself makes, advances and closes nonce accounts. LiteSVM gives it the blockhash that a transaction
names for the newest one, and forgets with a failed transaction that its nonce was used; both are put right here.
"""

import hashlib
from collections.abc import Mapping

from solders.account import Account
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey

from chain.nonces import NonceState, nonce_account_of, parse_nonce, with_value


def next_value(blockhash: Hash) -> Hash:
    """The value of nonce accounts that are advanced while `blockhash` is the newest."""
    return Hash.from_bytes(hashlib.sha256(b"DURABLE_NONCE" + bytes(blockhash)).digest())


def state_of(account: Account | None) -> NonceState | None:
    """What a usable nonce account holds; `None` for any other account."""
    return None if account is None else parse_nonce(str(account.owner), account.lamports, bytes(account.data))


def nonce_key(message: Message | MessageV0) -> Pubkey | None:
    """The account whose nonce a message names, if it lives by one at all."""
    address = nonce_account_of(message)
    return None if address is None else Pubkey.from_string(address)


def lives_by_nonce(message: Message | MessageV0, account: Account | None, newest: Hash) -> bool:
    """Whether the nonce in `account`, the one of `nonce_key`, lets the message land on top of the block `newest`."""
    state = state_of(account)
    if state is None or Hash.from_string(state.value) != message.recent_blockhash:
        return False
    first, keys = message.instructions[0], message.account_keys
    signers = {str(keys[index]) for index in first.accounts if message.is_signer(index)}
    # What was advanced in this very block has to wait for the next.
    is_advanceable = message.recent_blockhash != next_value(newest)
    return _is_writable(message, first.accounts[0]) and state.authority in signers and is_advanceable


def _is_writable(message: Message | MessageV0, index: int) -> bool:
    header = message.header
    if index < header.num_required_signatures:
        return index < header.num_required_signatures - header.num_readonly_signed_accounts
    return index < len(message.account_keys) - header.num_readonly_unsigned_accounts


def advance_nonces(
    svm: LiteSVM,
    message: Message | MessageV0,
    before: Mapping[Pubkey, Account | None],
    newest: Hash,
    *,
    has_failed: bool,
) -> None:
    """Give the nonce accounts that a transaction has changed the values they have to have.

    Args:
        svm: Has executed it.
        message: What it said.
        before: The accounts that it could write, as they were.
        newest: The newest blockhash.
        has_failed: What it lived by is used up all the same.
    """
    lived_by = nonce_key(message) if has_failed else None
    for key, old in before.items():
        account = svm.get_account(key)
        if account is None or (now := state_of(account)) is None:
            continue
        was = state_of(old)
        is_moved = was is None or was.value != now.value
        is_used = key == lived_by and now.value == str(message.recent_blockhash)
        if is_moved or is_used:
            data = with_value(bytes(account.data), next_value(newest))
            svm.set_account(key, Account(account.lamports, data, account.owner))
