"""Whether a payment would succeed on chain now, as a node says before anything is sent."""

from typing import Any, Final, TypeGuard

import msgspec

from api.http.errors import RETRY_SECONDS, ApiError, unavailable
from api.x402.message import encode_transaction
from api.x402.terms import Requirements
from api.x402.verdict import ExactPayment, Reason, Refused
from chain.node import Node, Simulation
from chain.programs import TOKEN_2022_PROGRAM
from chain.rpc import PermanentRpcError, RpcError

# The newest state: a payer's money may have arrived a moment ago, or have been spent.
_COMMITMENT: Final = "processed"
_BLOCKHASH_NOT_FOUND: Final = "BlockhashNotFound"
_ALREADY_PROCESSED: Final = "AlreadyProcessed"
# Only a fee payer can be missing or too poor for the fee, and it is the first account of its transaction: its rest of
# SOL must also keep the account alive.
_OURS: Final = ("InsufficientFundsForFee", "AccountNotFound", {"InsufficientFundsForRent": {"account_index": 0}})
# Source: the custom errors of the JSON-RPC service of Agave. A node says these of a transaction that it cannot read or
# take; any other refusal is of a node that does not simulate.
_ABOUT_THE_TRANSACTION: Final = frozenset({-32602, -32003, -32006, -32013})
_ERROR_CHARACTERS_MAX: Final = 300


async def refuse_what_would_fail(node: Node, payment: ExactPayment, requirements: Requirements) -> None:
    """Pass a payment of which a node says that it would succeed.

    Raises:
        Refused: It would fail, has landed already, would move nothing, or would bring less than is required.
        ApiError: 503, no node answers; that says nothing about the payment.
    """
    try:
        simulation = await _simulate(node, payment)
    except PermanentRpcError as error:
        if error.code not in _ABOUT_THE_TRANSACTION:
            raise unavailable("Solana node that simulates the payment") from error
        raise _failing(payment, "nodes cannot read it; build it anew") from None
    except RpcError as error:
        raise unavailable("Solana node that simulates the payment") from error
    if simulation.err == _ALREADY_PROCESSED:
        raise Refused(
            Reason.DUPLICATE_SETTLEMENT, "This payment has landed already; make a new one.", payment.authority
        )
    if simulation.err in _OURS:
        raise ApiError(
            503,
            "UNAVAILABLE",
            "The fee payer holds too little SOL, so nothing was sent; come again once its operator has sent some.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    if simulation.err is not None:
        raise _failing(payment, await _cause(node, payment, requirements, simulation.err))
    source, destination, *mint = simulation.accounts
    owner = source.token_owner if source else None
    if destination is not None and destination.token_owner != requirements.pay_to:
        raise Refused(
            Reason.INVALID_PAYMENT_REQUIREMENTS,
            f"The token account {payment.destination} of payTo belongs to another wallet by now, which would get the "
            "money; require a payment to a wallet that holds its own token account.",
            payment.authority,
        )
    if owner == requirements.pay_to:
        raise Refused(
            Reason.NO_TRANSFER, "The money is payTo's own already; pay from another wallet.", payment.authority
        )
    kept = mint[0].transfer_fee() if mint and mint[0] else None
    if kept is not None and (fee := kept.of(payment.amount)):
        raise Refused(
            Reason.AMOUNT_MISMATCH,
            f"The token keeps {fee} base units of the transfer, so payTo would not get what is required; "
            "require a token without such a fee.",
            payment.authority,
        )


async def _simulate(node: Node, payment: ExactPayment) -> Simulation:
    """What a node says; where it does not know the blockhash or does not simulate, what one says that does.

    Raises:
        RpcError: None of them does.
    """
    transaction, accounts = encode_transaction(payment.transaction), [payment.source, payment.destination]
    if payment.token_program == TOKEN_2022_PROGRAM:
        # Its mint may have the token keep a part of what is moved.
        accounts.append(payment.mint)
    first: Simulation | PermanentRpcError
    try:
        first = await node.simulate(transaction, accounts=accounts, commitment=_COMMITMENT)
    except PermanentRpcError as error:
        first = error
    if _says_something(first):
        return first
    for endpoint in node.pool.endpoints[1:]:
        try:
            other = await node.simulate(transaction, accounts=accounts, commitment=_COMMITMENT, at=endpoint)
        except RpcError:
            continue
        if _says_something(other):
            return other
    if isinstance(first, PermanentRpcError):
        raise first
    return first


def _says_something(said: Simulation | PermanentRpcError) -> TypeGuard[Simulation]:
    """Of a node that is behind, or is not one that simulates, nothing is learnt about the payment."""
    return isinstance(said, Simulation) and said.err != _BLOCKHASH_NOT_FOUND


async def _cause(node: Node, payment: ExactPayment, requirements: Requirements, error: Any) -> str:
    """Why it would fail: what a person can mend, or the node's own words."""
    if error == _BLOCKHASH_NOT_FOUND:
        return "its blockhash has expired or is not known yet; sign it anew with a recent one"
    try:
        _, accounts = await node.accounts([payment.source, payment.destination], commitment=_COMMITMENT)
    except RpcError:
        accounts = []
    match accounts:
        case [_, None]:
            return (
                f"payTo, {requirements.pay_to}, has no token account for {payment.mint}; the seller opens it, "
                "by receiving that token once or with a wallet"
            )
        case [None, _]:
            return f"the payer's token account {payment.source} does not exist; pay from one that holds the token"
        case [source, _] if source is not None and source.balance_of(is_wallet=False) < payment.amount:
            held = source.balance_of(is_wallet=False)
            return f"insufficient funds: the payer holds {held} base units of {payment.amount}; fund the wallet"
    return f"the node says {msgspec.json.encode(error).decode()[:_ERROR_CHARACTERS_MAX]}; build it anew"


def _failing(payment: ExactPayment, cause: str) -> Refused:
    return Refused(
        Reason.SIMULATION_FAILED, f"The transaction would fail: {cause[:_ERROR_CHARACTERS_MAX]}.", payment.authority
    )
