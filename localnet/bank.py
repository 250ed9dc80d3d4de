"""The state of the chain: LiteSVM executes, this module observes and can undo.

Pure and synchronous. It knows accounts and transactions, but neither blocks nor commitment: those are the
chain's (chain.py). LiteSVM keeps no history, so what a node reports about a transaction (balances before and
after, loaded addresses) is read from the accounts around the execution.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import SanitizeError, VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    SimulatedTransactionInfo,
)
from solders.transaction_status import TransactionErrorType, UiTransactionStatusMeta

from localnet.accounts import (
    SYSTEM_PROGRAM,
    TOKEN_PROGRAMS,
    is_token_account,
    lookup_table_addresses,
    parse_mint,
    token_amount,
)
from localnet.durable_nonces import advance_nonces
from localnet.encoding import Executed, TokenBalance

ALREADY_PROCESSED: Final = "AlreadyProcessed"
UNSUPPORTED_VERSION: Final = "UnsupportedVersion"
SANITIZE_FAILURE: Final = "SanitizeFailure"
NO_ACCOUNT: Final = Account(0, b"", SYSTEM_PROGRAM, executable=False, rent_epoch=0)
SLOT_HASHES_MAX: Final = 512


class Rejected(Exception):  # noqa: N818 - the node's own word; it is an answer, not a fault of ours
    """A transaction that never lands: it pays no fee and no block records it.

    `err` is the node's JSON for the transaction error, `logs` what its programs wrote; `executed` is what
    would have landed, where a preflight check kept it from landing.
    """

    def __init__(self, err: Any, logs: Sequence[str] = (), executed: "Executed | None" = None) -> None:
        super().__init__(str(err))
        self.err = err
        self.logs = list(logs)
        self.executed = executed


def error_json(err: TransactionErrorType) -> Any:
    """The node's JSON for a transaction error, such as `{"InstructionError": [0, {"Custom": 1}]}`."""
    return msgspec.json.decode(UiTransactionStatusMeta(err, 0, [], []).to_json())["err"]


class Bank:
    """Accounts, and transactions executed on them."""

    def __init__(self) -> None:
        self.svm = (
            LiteSVM()
            .with_mainnet_features()
            .with_sigverify(True)  # after this line LiteSVM refuses forged signatures
            .with_blockhash_check(False)  # the chain has its own ring of recent blockhashes
            .with_transaction_history(0)  # and its own record of what was processed
        )
        # As on a node, by the hash of the message: signatures may differ, and what they sign be the same.
        self._slot_of_message: dict[Hash, int] = {}
        self._decimals: dict[Pubkey, int] = {}
        self._newest_blockhash = Hash.default()

    def set_slot(self, slot: int, unix_timestamp: int, slot_hashes: Sequence[tuple[int, Hash]]) -> None:
        """Move the clock and slot hashes sysvars: lookup tables need both to advance.

        `slot_hashes` are (slot, hash), newest first; the runtime looks at 512.
        """
        self.svm.set_clock(Clock(slot, 0, 0, 1, unix_timestamp))
        self.svm.set_slot_hashes(slot_hashes[:SLOT_HASHES_MAX])
        self._newest_blockhash = slot_hashes[0][1] if slot_hashes else Hash.default()

    def get_account(self, address: Pubkey) -> Account | None:
        """The account as of now, processed state."""
        return self.svm.get_account(address)

    def set_account(self, address: Pubkey, account: Account | None) -> None:
        """Overwrite an account outside any transaction; None removes it."""
        self.svm.set_account(address, NO_ACCOUNT if account is None else account)
        self._decimals.pop(address, None)

    def slot_of_message(self, message: Message | MessageV0) -> int | None:
        """The slot in which a transaction with this message landed; None where it did not or was undone."""
        return self._slot_of_message.get(message.hash())

    def execute(self, transaction: VersionedTransaction | bytes, slot: int, block_time: int) -> Executed:
        """Execute for good. `block_time` in Unix seconds.

        Raises Rejected for a transaction that cannot land (bad signature, unknown or penniless payer, missing
        lookup table, already processed), ValueError for bytes that are no transaction. One that fails in a
        program lands: `err` is set and its payer has paid the fee.
        """
        if isinstance(transaction, bytes):
            transaction = VersionedTransaction.from_bytes(transaction)
        message, signature = self._admit(transaction)
        keys, loaded_writable = self.resolve_keys(message)
        writable = _writable_indexes(message, loaded_writable)
        invoked = {instruction.program_id_index for instruction in message.instructions}
        before: list[Account | None] = []
        pre_balances: list[int] = []
        svm = self.svm
        for index, key in enumerate(keys):
            # A program's account may hold a megabyte that nobody asks for.
            account = None if index in invoked else svm.get_account(key)
            before.append(account)
            pre_balances.append(svm.get_balance(key) or 0 if index in invoked else account.lamports if account else 0)
        tokens = not TOKEN_PROGRAMS.isdisjoint(keys)
        pre_tokens = self._token_balances(before) if tokens else []

        result = svm.send_transaction(transaction)
        err = None
        if isinstance(result, FailedTransactionMetadata):
            err = error_json(result.err())
            metadata = result.meta()
            # A failed transaction that landed has paid its fee; one that could not land has not.
            if (svm.get_balance(keys[0]) or 0) == pre_balances[0]:
                raise Rejected(err, metadata.logs())
        else:
            metadata = result

        if SYSTEM_PROGRAM in keys:  # it alone changes nonce accounts
            was = {keys[index]: before[index] for index in writable}
            advance_nonces(svm, message, was, self._newest_blockhash, has_failed=err is not None)
        after = list(before)
        post_balances = list(pre_balances)
        for index in writable:
            if index not in invoked:
                after[index] = account = svm.get_account(keys[index])
                post_balances[index] = account.lamports if account else 0
        self._slot_of_message[message.hash()] = slot
        for index in writable:
            self._decimals.pop(keys[index], None)
        return Executed(
            signature=signature,
            slot=slot,
            block_time=block_time,
            transaction=transaction,
            keys=keys,
            loaded_writable=loaded_writable,
            err=err,
            fee=metadata.fee(),
            pre_balances=pre_balances,
            post_balances=post_balances,
            pre_token_balances=pre_tokens,
            post_token_balances=self._token_balances(after) if tokens else [],
            metadata=metadata,
            undo={keys[index]: before[index] for index in writable if index not in invoked},
        )

    def simulate(
        self, transaction: VersionedTransaction, *, verify: bool = True
    ) -> SimulatedTransactionInfo | FailedTransactionMetadata:
        """Execute and forget. Without `verify` any signature will do."""
        self.svm.with_sigverify(verify)
        try:
            return self.svm.simulate_transaction(transaction)
        finally:
            self.svm.with_sigverify(True)

    def undo(self, executed: Executed) -> None:
        """Restore every account the transaction could write. Undo newest first."""
        for address, account in executed.undo.items():
            self.set_account(address, account)
        self.forget(executed)

    def forget(self, executed: Executed) -> None:
        """Let this transaction land again: its block was abandoned."""
        self._slot_of_message.pop(executed.transaction.message.hash(), None)

    def resolve_keys(self, message: Message | MessageV0) -> tuple[list[Pubkey], int]:
        """Static ++ loaded writable ++ loaded readonly keys, and how many were loaded writable.

        Where a table or an index does not exist the keys stay short: the runtime will refuse to load it.
        """
        keys = list(message.account_keys)
        if not isinstance(message, MessageV0) or not message.address_table_lookups:
            return keys, 0
        writable: list[Pubkey] = []
        readonly: list[Pubkey] = []
        for lookup in message.address_table_lookups:
            table = self.svm.get_account(lookup.account_key)
            listed = lookup_table_addresses(table.data) if table else []
            writable += [listed[index] for index in lookup.writable_indexes if index < len(listed)]
            readonly += [listed[index] for index in lookup.readonly_indexes if index < len(listed)]
        return keys + writable + readonly, len(writable)

    def _admit(self, transaction: VersionedTransaction) -> tuple[Message | MessageV0, str]:
        message = transaction.message
        if not isinstance(message, Message | MessageV0):
            raise Rejected(UNSUPPORTED_VERSION)
        try:
            transaction.sanitize()
        except SanitizeError:
            raise Rejected(SANITIZE_FAILURE) from None
        # A forged signature is refused as such, whatever is known of its message.
        if self.slot_of_message(message) is not None and all(transaction.verify_with_results()):
            raise Rejected(ALREADY_PROCESSED)
        return message, str(transaction.signatures[0])

    def _token_balances(self, accounts: list[Account | None]) -> list[TokenBalance]:
        balances = []
        for index, account in enumerate(accounts):
            if account is None or not is_token_account(account):
                continue
            data = account.data
            mint = Pubkey(data[:32])
            decimals = self._mint_decimals(mint)
            if decimals is not None:  # like the node, which says nothing of accounts whose mint is gone
                owner = Pubkey(data[32:64])
                balances.append(TokenBalance(index, mint, owner, account.owner, token_amount(data), decimals))
        return balances

    def _mint_decimals(self, mint: Pubkey) -> int | None:
        known = self._decimals.get(mint)
        if known is not None:
            return known
        parsed = parse_mint(self.svm.get_account(mint))
        if parsed is None:
            return None
        self._decimals[mint] = parsed.decimals
        return parsed.decimals


def _writable_indexes(message: Message | MessageV0, loaded_writable: int) -> list[int]:
    header = message.header
    static = len(message.account_keys)
    signed = header.num_required_signatures
    return [
        *range(signed - header.num_readonly_signed_accounts),
        *range(signed, static - header.num_readonly_unsigned_accounts),
        *range(static, static + loaded_writable),
    ]
