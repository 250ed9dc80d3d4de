"""The errors a node answers with, in its own numbers and words (Agave's `RpcCustomError`)."""

import re
from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
BLOCK_CLEANED_UP: Final = -32001
PREFLIGHT_FAILURE: Final = -32002
SIGNATURE_VERIFICATION_FAILURE: Final = -32003
BLOCK_NOT_AVAILABLE: Final = -32004
NODE_UNHEALTHY: Final = -32005
SLOT_SKIPPED: Final = -32007
UNSUPPORTED_VERSION: Final = -32015
MIN_CONTEXT_SLOT_NOT_REACHED: Final = -32016

_TRANSACTION_ERRORS: Final = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "SignatureFailure": "Transaction did not pass signature verification",
    "InvalidProgramForExecution": "This program may not be used for executing instructions",
    "SanitizeFailure": "Transaction failed to sanitize accounts offsets correctly",
    "UnsupportedVersion": "Transaction version is unsupported",
    "AddressLookupTableNotFound": "Transaction loads an address table account that doesn't exist",
    "InvalidAddressLookupTableOwner": "Transaction loads an address table account with an invalid owner",
    "InvalidAddressLookupTableData": "Transaction loads an address table account with invalid data",
    "InvalidAddressLookupTableIndex": "Transaction address table lookup uses an invalid index",
}
_INSTRUCTION_ERRORS: Final = {
    "InvalidArgument": "invalid program argument",
    "InvalidInstructionData": "invalid instruction data",
    "InvalidAccountData": "invalid account data for instruction",
    "InsufficientFunds": "insufficient funds for instruction",
    "IncorrectProgramId": "incorrect program id for instruction",
    "MissingRequiredSignature": "missing required signature for instruction",
    "UninitializedAccount": "instruction requires an initialized account",
    "NotEnoughAccountKeys": "insufficient account keys for instruction",
}


class RpcError(Exception):
    """An error answer: `{code, message}` and `data` where the node sends any."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def as_json(self) -> dict[str, Any]:
        """The `error` member of the answer."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error


def invalid_params(message: str) -> RpcError:
    """-32602 with a message that says which parameter, and why."""
    return RpcError(INVALID_PARAMS, message)


def unsupported_version(version: int | str) -> RpcError:
    """-32015: the caller did not say that it understands this version."""
    return RpcError(
        UNSUPPORTED_VERSION,
        f"Transaction version ({version}) is not supported by the requesting client. Please try the request "
        f'again with the following configuration parameter: "maxSupportedTransactionVersion": {version}',
    )


def transaction_error_text(err: Any) -> str:
    """The node's sentence for a transaction error given as its JSON."""
    if isinstance(err, str):
        return _TRANSACTION_ERRORS.get(err, _spaced(err))
    kind, detail = next(iter(err.items()))
    if kind == "InstructionError":
        index, reason = detail
        return f"Error processing Instruction {index}: {_instruction_error_text(reason)}"
    if kind == "InsufficientFundsForRent":
        return f"Transaction results in an account ({detail['account_index']}) with insufficient funds for rent"
    return f"{_spaced(kind)}: {detail}"


def _instruction_error_text(reason: Any) -> str:
    if isinstance(reason, str):
        return _INSTRUCTION_ERRORS.get(reason, _spaced(reason).lower())
    kind, detail = next(iter(reason.items()))
    return f"custom program error: {detail:#x}" if kind == "Custom" else f"{_spaced(kind)}: {detail}"


def _spaced(words: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
