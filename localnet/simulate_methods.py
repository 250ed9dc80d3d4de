"""simulateTransaction: what a transaction would do, without landing it. Source: Agave's `rpc.rs`."""

from typing import Any, Final

from solders.account import Account
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from localnet.account_json import AccountEncoder
from localnet.bank import ALREADY_PROCESSED, error_json
from localnet.calls import Call, Method
from localnet.chain import BLOCKHASH_NOT_FOUND
from localnet.encoding import inner_instructions_of, return_data_json
from localnet.errors import SIGNATURE_VERIFICATION_FAILURE, RpcError, invalid_params
from localnet.params import Config, pubkey
from localnet.send_methods import decode_transaction, simulation_json


def simulate_transaction(call: Call) -> dict[str, Any]:
    """What a transaction would do, without landing it.

    As on a node, what has landed already is told apart by its message: a signature may be missing here.
    """
    config = call.params.config(1)
    transaction = decode_transaction(call.params.text(0), config)
    verify, replace = config.flag("sigVerify"), config.flag("replaceRecentBlockhash")
    if verify and replace:
        raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
    if verify and not all(transaction.verify_with_results()):
        raise RpcError(SIGNATURE_VERIFICATION_FAILURE, "Transaction signature verification failure")
    message = transaction.message
    assert isinstance(message, Message | MessageV0), "nothing else is decoded"
    slot = call.slot(config)
    shown = _Shown(call, config, message)
    refused = None if replace else _refusal(call, message, slot)
    value = simulation_json(refused, []) if refused else _simulated(call, transaction, shown, verify=verify)
    if refused and shown.addresses is not None:
        value["accounts"] = [None] * len(shown.addresses)
    if replace:
        block = call.block_at(slot)
        newest = call.chain.blocks[-1] if block.blockhash is None else block
        value["replacementBlockhash"] = {
            "blockhash": str(newest.hash),
            "lastValidBlockHeight": newest.last_valid_height,
        }
    return call.in_context(slot, value)


class _Shown:
    """What the caller wants to see of it: accounts afterwards, and the instructions that programs called."""

    def __init__(self, call: Call, config: Config, message: Message | MessageV0) -> None:
        self.inner = config.flag("innerInstructions")
        self.addresses: list[Pubkey] | None = None
        wanted = config.get("accounts")
        if not isinstance(wanted, dict):
            return
        asked = Config(wanted)
        if asked.get("encoding") in {"base58", "binary"}:
            raise invalid_params("base58 encoding not supported")
        self.encoder = AccountEncoder(asked, call.chain.account, default="base64")
        self.addresses = [pubkey(one) for one in asked.get("addresses") or []]
        count = len(call.chain.bank.resolve_keys(message)[0])
        if len(self.addresses) > count:
            raise invalid_params(f"Too many accounts provided; max {count}")


def _refusal(call: Call, message: Message | MessageV0, slot: int) -> str | None:
    """Why the state of `slot` would not even load it."""
    if not call.chain.lets_live(message, call.block_at(slot)):
        return BLOCKHASH_NOT_FOUND
    landed = call.chain.bank.slot_of_message(message)
    return ALREADY_PROCESSED if landed is not None and landed <= slot else None


def _simulated(call: Call, transaction: VersionedTransaction, shown: _Shown, *, verify: bool) -> dict[str, Any]:
    result = call.chain.bank.simulate(transaction, verify=verify)
    metadata = result.meta()
    has_failed = isinstance(result, FailedTransactionMetadata)
    err = error_json(result.err()) if isinstance(result, FailedTransactionMetadata) else None
    value = simulation_json(err, metadata.logs(), metadata.compute_units_consumed(), return_data_json(metadata))
    if shown.inner:
        value["innerInstructions"] = _inner(call, transaction, metadata)
    if shown.addresses is not None:
        after: dict[Pubkey, Account] = {} if has_failed else dict(result.post_accounts())  # type: ignore[union-attr]
        value["accounts"] = [
            None if has_failed else _account(after.get(address) or call.chain.account(address), shown.encoder)
            for address in shown.addresses
        ]
    return value


def _inner(call: Call, transaction: VersionedTransaction, metadata: TransactionMetadata) -> list[dict[str, Any]]:
    message = transaction.message
    assert isinstance(message, Message | MessageV0), "nothing else is decoded"
    keys, _ = call.chain.bank.resolve_keys(message)
    # A node shows them parsed where it can, whatever the encoding of the transaction was.
    return inner_instructions_of(keys, metadata, parsed=True)


def _account(account: Account | None, encoder: AccountEncoder) -> dict[str, Any] | None:
    return None if account is None else encoder.encode(account)


METHODS: Final[dict[str, Method]] = {"simulateTransaction": simulate_transaction}
