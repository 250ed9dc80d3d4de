"""Executed transactions in the shapes `getTransaction` and `getBlock` answer with.

The shapes are Agave's: `UiTransactionStatusMeta` and `EncodedTransactionWithStatusMeta` of its crate
`solana-transaction-status-client-types`.
"""

import base64
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from solders.account import Account
from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from chain.base58 import b58encode
from localnet.parsing import parse_instruction

ENCODINGS: Final = ("json", "jsonParsed", "base64", "base58")
_OUTER_STACK_HEIGHT: Final = 1


@dataclass(slots=True)
class TokenBalance:
    """The balance of one token account, in base units, as `preTokenBalances` and its twin list it."""

    account_index: int
    mint: Pubkey
    owner: Pubkey
    program: Pubkey
    amount: int
    decimals: int


@dataclass(slots=True, eq=False)
class Executed:
    """A transaction that landed, and everything a node answers about it.

    `keys` are static ++ loaded writable ++ loaded readonly. `err` is the node's JSON for the error, None for
    success. `undo` holds the accounts the transaction could write, as they were before. `index` is its place
    in the block.
    """

    signature: str
    slot: int
    block_time: int
    transaction: VersionedTransaction
    keys: list[Pubkey]
    loaded_writable: int
    err: Any
    fee: int
    pre_balances: list[int]
    post_balances: list[int]
    pre_token_balances: list[TokenBalance]
    post_token_balances: list[TokenBalance]
    metadata: TransactionMetadata
    undo: dict[Pubkey, Account | None]
    index: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """Where it stands in the chain: slot, then place in the block."""
        return self.slot, self.index

    @property
    def version(self) -> int | str:
        """0 or "legacy"."""
        return 0 if isinstance(self.transaction.message, MessageV0) else "legacy"

    @property
    def static_keys(self) -> int:
        """How many of `keys` the message itself lists."""
        return len(self.transaction.message.account_keys)

    def encoded(self, how: str = "json", max_version: int | None = 0) -> dict[str, Any]:
        """One entry of `getBlock`'s `transactions`: `{transaction, meta, version}`.

        `how` is json, jsonParsed, base64 or base58. Without `max_version` the version is left out, as a node
        does; whether a v0 transaction may be shown at all is the caller's question.
        """
        return encode_transaction(self, how, max_version)

    def result(self, how: str = "json", max_version: int | None = 0) -> dict[str, Any]:
        """The result of `getTransaction`: `encoded` with slot and block time."""
        return {"blockTime": self.block_time, "slot": self.slot, **self.encoded(how, max_version)}


def encode_transaction(executed: Executed, how: str, max_version: int | None) -> dict[str, Any]:
    """`{transaction, meta, version}`; `version` only where the caller named the highest it understands."""
    parsed = how == "jsonParsed"
    encoded: dict[str, Any] = {
        "meta": _meta(executed, parsed=parsed),
        "transaction": _transaction(executed, how),
    }
    if max_version is not None:
        encoded["version"] = executed.version
    return encoded


def encode_accounts(executed: Executed, max_version: int | None) -> dict[str, Any]:
    """An entry of `getBlock` with `transactionDetails` accounts: keys and balances, no instructions."""
    meta = {
        "err": executed.err,
        "status": {"Ok": None} if executed.err is None else {"Err": executed.err},
        "fee": executed.fee,
        "preBalances": executed.pre_balances,
        "postBalances": executed.post_balances,
        "preTokenBalances": [token_balance(balance) for balance in executed.pre_token_balances],
        "postTokenBalances": [token_balance(balance) for balance in executed.post_token_balances],
    }
    encoded: dict[str, Any] = {
        "meta": meta,
        "transaction": {
            "signatures": [str(signature) for signature in executed.transaction.signatures],
            "accountKeys": _parsed_keys(executed),
        },
    }
    if max_version is not None:
        encoded["version"] = executed.version
    return encoded


def ui_token_amount(amount: int, decimals: int) -> dict[str, Any]:
    """`{amount, decimals, uiAmount, uiAmountString}`; the float is the node's own, exact is `amount`."""
    exact = Decimal(amount).scaleb(-decimals)
    text = f"{exact:f}"
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals,
        "uiAmountString": text.rstrip("0").rstrip(".") if "." in text else text,
    }


def token_balance(balance: TokenBalance) -> dict[str, Any]:
    """One entry of `preTokenBalances` or `postTokenBalances`."""
    amount = ui_token_amount(balance.amount, balance.decimals)
    # The node stores metadata as protobuf, where zero and absent are the same.
    if amount["uiAmount"] <= sys.float_info.epsilon:
        amount["uiAmount"] = None
    return {
        "accountIndex": balance.account_index,
        "mint": str(balance.mint),
        "owner": str(balance.owner),
        "programId": str(balance.program),
        "uiTokenAmount": amount,
    }


def inner_instructions(executed: Executed, *, parsed: bool) -> list[dict[str, Any]]:
    """`[{index, instructions}]` of the outer instructions that called others, with their stack heights."""
    return inner_instructions_of(executed.keys, executed.metadata, parsed=parsed)


def inner_instructions_of(keys: list[Pubkey], metadata: TransactionMetadata, *, parsed: bool) -> list[dict[str, Any]]:
    """The same of a transaction with these keys that did not land."""
    groups = []
    for index, group in enumerate(metadata.inner_instructions()):
        if group:
            instructions = [
                _instruction(keys, inner.instruction(), inner.stack_height(), parsed=parsed) for inner in group
            ]
            groups.append({"index": index, "instructions": instructions})
    return groups


def return_data_json(metadata: TransactionMetadata) -> dict[str, Any] | None:
    """`{programId, data: [base64, "base64"]}`, None where no program returned anything."""
    returned = metadata.return_data()
    if not returned.data:
        return None
    return {
        "programId": str(returned.program_id),
        "data": [base64.b64encode(returned.data).decode(), "base64"],
    }


def _meta(executed: Executed, *, parsed: bool) -> dict[str, Any]:
    metadata = executed.metadata
    meta: dict[str, Any] = {
        "computeUnitsConsumed": metadata.compute_units_consumed(),
        "err": executed.err,
        "fee": executed.fee,
        "innerInstructions": inner_instructions(executed, parsed=parsed),
        "logMessages": metadata.logs(),
        "postBalances": executed.post_balances,
        "postTokenBalances": [token_balance(balance) for balance in executed.post_token_balances],
        "preBalances": executed.pre_balances,
        "preTokenBalances": [token_balance(balance) for balance in executed.pre_token_balances],
        "rewards": [],
        "status": {"Ok": None} if executed.err is None else {"Err": executed.err},
    }
    if not parsed:  # the parsed form names the source at each key instead
        loaded = executed.keys[executed.static_keys :]
        split = executed.loaded_writable
        meta["loadedAddresses"] = {
            "writable": [str(key) for key in loaded[:split]],
            "readonly": [str(key) for key in loaded[split:]],
        }
    returned = return_data_json(metadata)
    if returned is not None:
        meta["returnData"] = returned
    return meta


def _transaction(executed: Executed, how: str) -> Any:
    if how in {"base64", "base58"}:
        data = bytes(executed.transaction)
        text = b58encode(data) if how == "base58" else base64.b64encode(data).decode()
        return [text, how]
    message = executed.transaction.message
    assert isinstance(message, Message | MessageV0), "the bank lands no other version"
    parsed = how == "jsonParsed"
    encoded = _parsed_message(executed, message) if parsed else _raw_message(executed, message)
    if isinstance(message, MessageV0):
        encoded["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return {
        "message": encoded,
        "signatures": [str(signature) for signature in executed.transaction.signatures],
    }


def _raw_message(executed: Executed, message: Message | MessageV0) -> dict[str, Any]:
    header = message.header
    return {
        "accountKeys": [str(key) for key in message.account_keys],
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "instructions": [
            _instruction(executed.keys, instruction, _OUTER_STACK_HEIGHT, parsed=False)
            for instruction in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }


def _parsed_message(executed: Executed, message: Message | MessageV0) -> dict[str, Any]:
    return {
        "accountKeys": _parsed_keys(executed),
        "instructions": [
            _instruction(executed.keys, instruction, _OUTER_STACK_HEIGHT, parsed=True)
            for instruction in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }


def _parsed_keys(executed: Executed) -> list[dict[str, Any]]:
    header = executed.transaction.message.header
    static = executed.static_keys
    signed = header.num_required_signatures
    writable_signed = signed - header.num_readonly_signed_accounts
    writable_unsigned = static - header.num_readonly_unsigned_accounts
    loaded_writable = static + executed.loaded_writable

    def writable(index: int) -> bool:
        if index >= static:
            return index < loaded_writable
        return index < (writable_signed if index < signed else writable_unsigned)

    return [
        {
            "pubkey": str(key),
            "signer": index < signed,
            "source": "transaction" if index < static else "lookupTable",
            "writable": writable(index),
        }
        for index, key in enumerate(executed.keys)
    ]


def _instruction(
    keys: list[Pubkey], instruction: CompiledInstruction, stack_height: int | None, *, parsed: bool
) -> dict[str, Any]:
    if not parsed:
        return {
            "accounts": list(instruction.accounts),
            "data": b58encode(instruction.data),
            "programIdIndex": instruction.program_id_index,
            "stackHeight": stack_height,
        }
    program = str(keys[instruction.program_id_index])
    accounts = [str(keys[index]) for index in instruction.accounts]
    known = parse_instruction(program, accounts, instruction.data)
    if known is not None:
        return {**known, "programId": program, "stackHeight": stack_height}
    return {
        "accounts": accounts,
        "data": b58encode(instruction.data),
        "programId": program,
        "stackHeight": stack_height,
    }
