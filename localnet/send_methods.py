"""Methods that execute: send, airdrop, and what a message would cost."""

import base64
import binascii
from typing import Any, Final

from solders.message import Message, MessageV0, from_bytes_versioned
from solders.transaction import SanitizeError, VersionedTransaction

from chain.base58 import b58decode
from chain.instruction_layouts import UNIT_LIMIT, read_compute_budget
from chain.programs import COMPUTE_BUDGET_PROGRAM
from localnet.bank import Rejected
from localnet.calls import Call, Method
from localnet.chain import BLOCKHASH_NOT_FOUND
from localnet.encoding import return_data_json
from localnet.errors import (
    PREFLIGHT_FAILURE,
    SIGNATURE_VERIFICATION_FAILURE,
    RpcError,
    invalid_params,
    transaction_error_text,
)
from localnet.params import Config

TRANSACTION_BYTES_MAX: Final = 1232
_ENCODED_MAX: Final = {"base58": 1683, "base64": 1644}
_TYPE_NAME: Final = "solana_transaction::versioned::VersionedTransaction"
_LAMPORTS_PER_SIGNATURE: Final = 5_000
_DEFAULT_COMPUTE_UNITS: Final = 200_000
_COMPUTE_UNITS_MAX: Final = 1_400_000


def send_transaction(call: Call) -> str:
    """Land a transaction; answers its signature.

    With preflight (the default) what would fail does not land but answers -32002; with `skipPreflight` a
    transaction that cannot land still gets its signature as an answer, as on a real node.
    """
    config = call.params.config(1)
    transaction = decode_transaction(call.params.text(0), config)
    signature = str(transaction.signatures[0])
    skip_preflight = config.flag("skipPreflight")
    if not skip_preflight:
        _check_preflight(call, transaction, config)
    if call.hazard.strikes(call.hazard.faults.transactions_lost, "sendTransaction"):
        return signature
    try:
        call.chain.send(transaction, preflight=not skip_preflight)
    except Rejected as rejected:
        if not skip_preflight:
            raise _preflight_failure(rejected) from None
    return signature


def request_airdrop(call: Call) -> str:
    """Give lamports away; answers the signature of the transfer."""
    try:
        return call.chain.faucet.fund_lamports(call.params.pubkey(0), call.params.integer(1)).signature
    except RuntimeError as error:
        raise invalid_params(f"airdrop request failed: {error}") from None


def get_fee_for_message(call: Call) -> dict[str, Any]:
    """Lamports a message would cost, null where its blockhash is unknown or too old."""
    try:
        message = from_bytes_versioned(base64.b64decode(call.params.text(0), validate=True))
    except (ValueError, binascii.Error) as error:
        raise invalid_params(f"failed to deserialize solana_message::versions::VersionedMessage: {error}") from None
    slot = call.slot(call.params.config(1))
    if not isinstance(message, Message | MessageV0) or not call.chain.lets_live(message, call.block_at(slot)):
        return call.in_context(slot, None)
    return call.in_context(slot, _fee(message))


def decode_transaction(text: str, config: Config) -> VersionedTransaction:
    """The transaction in `text`, base58 unless `encoding` says base64. Raises -32602."""
    how = config.choice("encoding", ("base58", "base64"), "base58")
    limit = _ENCODED_MAX[how]
    if len(text) > limit:
        raise invalid_params(
            f"{how} encoded {_TYPE_NAME} too large: {len(text)} bytes "
            f"(max: encoded/raw {limit}/{TRANSACTION_BYTES_MAX})"
        )
    try:
        data = base64.b64decode(text, validate=True) if how == "base64" else b58decode(text)
    except ValueError as error:
        raise invalid_params(f"invalid {how} encoding: {error}") from None
    if len(data) > TRANSACTION_BYTES_MAX:
        raise invalid_params(f"decoded {_TYPE_NAME} too large: {len(data)} bytes (max: {TRANSACTION_BYTES_MAX} bytes)")
    try:
        transaction = VersionedTransaction.from_bytes(data)
    except ValueError as error:
        raise invalid_params(f"failed to deserialize {_TYPE_NAME}: {error}") from None
    try:
        transaction.sanitize()
    except SanitizeError as error:
        raise invalid_params(f"invalid transaction: {error}") from None
    return transaction


def _check_preflight(call: Call, transaction: VersionedTransaction, config: Config) -> None:
    if not all(transaction.verify_with_results()):
        raise RpcError(SIGNATURE_VERIFICATION_FAILURE, "Transaction signature verification failure")
    commitment = Config({"commitment": config.get("preflightCommitment")}).commitment()
    slot = call.view.slot(commitment)
    config.check_min_context_slot(slot)
    # A blockhash newer than the preflight's bank is unknown to it: the node says so, and so do we.
    if not call.chain.lets_live(transaction.message, call.block_at(slot)):
        raise _preflight_failure(Rejected(BLOCKHASH_NOT_FOUND))


def _preflight_failure(rejected: Rejected) -> RpcError:
    units, returned = 0, None
    if rejected.executed is not None:
        units = rejected.executed.metadata.compute_units_consumed()
        returned = return_data_json(rejected.executed.metadata)
    return RpcError(
        PREFLIGHT_FAILURE,
        f"Transaction simulation failed: {transaction_error_text(rejected.err)}",
        simulation_json(rejected.err, rejected.logs, units, returned),
    )


def simulation_json(err: Any, logs: list[str], units: int = 0, returned: Any = None) -> dict[str, Any]:
    """What a simulation answers, before what was asked for besides is added."""
    return {
        "accounts": None,
        "err": err,
        "innerInstructions": None,
        "loadedAccountsDataSize": 0,
        "logs": logs,
        "replacementBlockhash": None,
        "returnData": returned,
        "unitsConsumed": units,
    }


def _fee(message: Message | MessageV0) -> int:
    limit, price, units = None, 0, 0
    for instruction in message.instructions:
        program = str(message.account_keys[instruction.program_id_index])
        if program != COMPUTE_BUDGET_PROGRAM:
            units += _DEFAULT_COMPUTE_UNITS
        elif (budget := read_compute_budget(program, bytes(instruction.data))) is not None:
            kind, value = budget
            limit, price = (value, price) if kind == UNIT_LIMIT else (limit, value)
    units = min(units if limit is None else limit, _COMPUTE_UNITS_MAX)
    priority = -(-units * price // 1_000_000)  # the price is in millionths of a lamport; rounded up
    return _LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures + priority


METHODS: Final[dict[str, Method]] = {
    "sendTransaction": send_transaction,
    "requestAirdrop": request_airdrop,
    "getFeeForMessage": get_fee_for_message,
}
