"""JSON-RPC 2.0: from the text of a request to the answer of its methods."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from localnet import (
    account_methods,
    block_methods,
    control_methods,
    send_methods,
    simulate_methods,
    transaction_methods,
)
from localnet.calls import Method, prepare
from localnet.chain import Chain
from localnet.errors import (
    BLOCK_NOT_AVAILABLE,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NODE_UNHEALTHY,
    PARSE_ERROR,
    SLOT_SKIPPED,
    RpcError,
    invalid_params,
)
from localnet.faults import Hazard

_log = structlog.get_logger(__name__)

# The words of errors that this node would not come to by itself; see Faults.rpc_errors.
ORDERED_ERRORS: Final = {
    NODE_UNHEALTHY: "Node is unhealthy",
    BLOCK_NOT_AVAILABLE: "Block not available for slot",
    SLOT_SKIPPED: "Slot was skipped, or missing due to ledger jump to recent snapshot",
    -32009: "Slot was skipped, or missing in long-term storage",
    -32011: "Transaction history is not available from this node",
    -32014: "Block status not yet available for slot",
}

METHODS: Final[dict[str, Method]] = {
    **block_methods.METHODS,
    **transaction_methods.METHODS,
    **account_methods.METHODS,
    **send_methods.METHODS,
    **simulate_methods.METHODS,
    **control_methods.METHODS,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One well-formed request. Without an `id` it is a notification and gets no answer."""

    id: Any
    method: str
    params: list[Any]
    is_notification: bool


def parse(body: bytes | str) -> Any:
    """The JSON of a request or a batch. Raises -32700."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RpcError(PARSE_ERROR, "Parse error") from None


def read_request(raw: Any) -> Request:
    """One request out of its JSON. Raises -32600 or -32602."""
    if not isinstance(raw, dict) or raw.get("jsonrpc") != "2.0" or not isinstance(raw.get("method"), str):
        raise RpcError(INVALID_REQUEST, "Invalid request")
    params = raw.get("params")
    if params is None:
        params = []
    if not isinstance(params, list):
        raise invalid_params("`params` should be an array")
    return Request(raw.get("id"), raw["method"], params, "id" not in raw)


def failure(request_id: Any, error: RpcError) -> dict[str, Any]:
    """An error answer."""
    return {"jsonrpc": "2.0", "error": error.as_json(), "id": request_id}


def success(request_id: Any, result: Any) -> dict[str, Any]:
    """A result answer."""
    return {"jsonrpc": "2.0", "result": result, "id": request_id}


def id_of(raw: Any) -> Any:
    """The id to answer a request with, however broken the rest of it is."""
    return raw.get("id") if isinstance(raw, dict) else None


class Rpc:
    """The methods of one node. `localnet_countCalls` answers how often each of the others was asked so far."""

    def __init__(self, chain: Chain, hazard: Hazard, more_methods: dict[str, Method] | None = None) -> None:
        self._chain = chain
        self._hazard = hazard
        self._methods = {**METHODS, "localnet_countCalls": lambda _: dict(self._calls), **(more_methods or {})}
        self._calls: Counter[str] = Counter()

    def answer(self, raw: Any) -> dict[str, Any] | None:
        """The answer to one request, None to a notification."""
        try:
            request = read_request(raw)
            result = self._call(request)
        except RpcError as error:
            return failure(id_of(raw), error)
        except Exception:  # noqa: BLE001 - a defect of ours: a node answers it in the protocol's words
            _log.exception("defect", request=str(raw)[:500])
            return failure(id_of(raw), RpcError(INTERNAL_ERROR, "Internal error"))
        return None if request.is_notification else success(request.id, result)

    def _call(self, request: Request) -> Any:
        method = self._methods.get(request.method)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        if not request.method.startswith(control_methods.PREFIX):
            self._calls[request.method] += 1
        fault = self._hazard.faults.rpc_errors
        if not request.method.startswith(control_methods.PREFIX) and self._hazard.strikes(fault, request.method):
            code = -int(fault.amount) or NODE_UNHEALTHY
            raise RpcError(code, ORDERED_ERRORS.get(code, "Internal error"))
        return method(prepare(self._chain, self._hazard, request.params, request.method))
