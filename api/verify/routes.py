"""POST /verify: is this payment real, this merchant's, and not used before?"""

import time
from typing import Any, Final, Literal

import orjson
import structlog
from fastapi import Request
from pydantic import Field
from solders.pubkey import Pubkey
from solders.signature import Signature
from starlette.responses import Response

from api.access.callers import SECURITY, count_verification, identify, permitted
from api.http.errors import ErrorBody, errors, invalid
from api.http.fields import Address, AmountSent, Base58Signature, BaseUnitsText, EpochMs, Figure, ShortText
from api.http.json import Shape, answer, epoch_ms, figure
from api.resources import Resources, resources
from api.routing.route import new_router
from api.verify.proof import Answer, Case, Question
from api.verify.verifier import verify
from ledger.judge import Outcome
from ledger.recipients import REGISTRATION_START

_log = structlog.get_logger(__name__)

router = new_router(tags=["Verify"])

_RETRY_SECONDS: Final = 2
_SIGNATURE_BYTES: Final = 64


class ProofBody(Shape):
    """A payer's proof of a payment. Fields that are not listed are ignored."""

    signature: Base58Signature = Field(description="ed25519 by `payer` over the UTF-8 bytes of `nonce`, base58")
    payer: Address = Field(description="The wallet that paid")
    amount: AmountSent
    currency: ShortText | None = Field(None, description="Symbol of the token, as USDC", examples=["USDC"])
    mint: Address | None = Field(None, description="The token by its mint, instead of `currency`")
    nonce: ShortText = Field(description="1 to 256 characters, none of them control characters")
    timestamp: int = Field(description="When the proof was made, in milliseconds since 1970", ge=0, lt=2**53)
    transaction_id: Base58Signature = Field(description="The transaction's signature on chain")
    recipient: Address | None = Field(None, description="The wallet that was paid")
    resource: ShortText | None = Field(None, description="What was paid for")
    agent_id: ShortText | None = None
    scheme: Literal["exact", "minimum"] = Field("minimum", description="`exact` refuses more than the amount too")


class HonouredTransaction(Shape):
    """A payment that honours a claim."""

    id: str
    signature: str = Field(description="The transaction's signature on chain")
    payer: str
    recipient: str
    amount: Figure
    amount_base_units: BaseUnitsText
    received_base_units: BaseUnitsText
    currency: str
    mint: str
    resource: str | None = None
    status: Literal["confirmed", "finalized"]
    nonce: str
    slot: int
    path: str = Field(description="The instruction that moved the money")
    agent_id: str | None = None
    timestamp: EpochMs


class HonouredBody(Shape):
    """The payment is real, this merchant's, and was not used before."""

    valid: Literal[True] = True
    verified: Literal[True] = True
    proof: dict[str, Any]
    transaction: HonouredTransaction
    verified_at: EpochMs


class RefusedBody(ErrorBody):
    """The claim is refused, or not decided yet."""

    valid: Literal[False] = False
    verified: Literal[False] = False


_SENTENCES: Final = {
    Outcome.INVALID_SIGNATURE: "The signature is not the payer's over the nonce; sign the nonce with the paying key.",
    Outcome.PAYMENT_EXPIRED: "The proof or its payment request has expired; make a new one.",
    Outcome.RECIPIENT_REQUIRED: "Nothing says whose money this should be; send an API key or a recipient.",
    Outcome.RECIPIENT_NOT_FOLLOWED: "The wallet is not followed by this ledger; register it with POST /recipients.",
    Outcome.REPLAY_ATTACK: "The nonce or the payment has been used already; pay again with a new nonce.",
    Outcome.NONCE_MISMATCH: "The nonce is registered for other terms; claim what was requested.",
    Outcome.PAYMENT_PENDING: "The payment is not in the ledger yet; repeat the request in a moment.",
    Outcome.TRANSACTION_FAILED: "The transaction failed on chain or never landed, and moved no money; pay again.",
    Outcome.RECIPIENT_MISMATCH: "The transaction did not pay this merchant; check the transaction.",
    Outcome.CURRENCY_MISMATCH: "The transaction paid this merchant in another token; check the token.",
    Outcome.PAYER_MISMATCH: "The transaction was paid by another wallet; prove it with the wallet that paid.",
    Outcome.INSUFFICIENT_AMOUNT: "The transaction paid less than is claimed; pay the whole amount.",
    Outcome.AMOUNT_MISMATCH: "The transaction paid more than is claimed; claim exactly what was paid.",
    Outcome.NOT_FINALIZED: "The payment is confirmed but not finalized yet; repeat the request in a moment.",
}
_RETRYABLE: Final = frozenset({Outcome.PAYMENT_PENDING, Outcome.NOT_FINALIZED})


@router.post(
    "/verify",
    response_model=HonouredBody,
    responses={
        402: {
            "model": RefusedBody,
            "description": "Refused, or not decided yet (`PAYMENT_PENDING`, `NOT_FINALIZED`, with `Retry-After`). "
            "In order of precedence: " + ", ".join(f"`{outcome}`" for outcome in _SENTENCES),
        },
        **errors(401, 403, 409, 413, 415),
    },
    dependencies=SECURITY,
)
async def post_verify(request: Request, body: ProofBody) -> Response:
    """Verify a payment and use it up.

    Zero RPC calls for a payment that is indexed. One that is on its way is waited for; if it does not come, the
    answer is `PAYMENT_PENDING`, and the claim is settled later: repeat the request to learn its fate.
    """
    started = time.monotonic()
    parts = resources(request)
    question = await _question(parts, body)
    caller = await identify(request)
    await count_verification(request, caller)
    if caller is not None:
        permitted(caller, "write")
    asked_with = getattr(request.state, "asked_with", None)
    found = await verify(parts, Case(question, caller, parts.final_from, asked_with), request.is_disconnected)
    parts.metrics.verify_seconds.observe(time.monotonic() - started)
    parts.metrics.verifications.labels(found.outcome.lower()).inc()
    return _honoured(body, question, found) if found.outcome is Outcome.HONOURED else _refused(found.outcome)


async def _question(parts: Resources, body: ProofBody) -> Question:
    """The proof, checked in form. Raises ApiError 400."""
    if body.nonce.startswith(REGISTRATION_START):
        raise invalid("nonce is a text that registers wallets; sign a nonce of the merchant's.", {"field": "nonce"})
    token = await parts.tokens.find(body.currency, body.mint)
    amount = token.base_units(body.amount)
    payer = _address(body.payer, "payer")
    try:
        signature = Signature.from_string(body.signature)
        str(Signature.from_string(body.transaction_id))
    except ValueError:
        raise invalid("signature and transactionId must be 64 bytes in base58; correct them.") from None
    return Question(
        payer=str(payer),
        is_signed=signature.verify(payer, body.nonce.encode()),
        nonce=body.nonce,
        transaction=body.transaction_id,
        token=token,
        amount=amount,
        is_exact=body.scheme == "exact",
        made_at_ms=body.timestamp,
        recipient=str(_address(body.recipient, "recipient")) if body.recipient else None,
        resource=body.resource,
        agent_id=body.agent_id,
    )


def _address(text: str, name: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise invalid(f"{name} must be 32 bytes in base58; correct it.", {"field": name}) from None


def _refused(outcome: Outcome) -> Response:
    sentence = _SENTENCES[outcome]
    content = {
        "valid": False,
        "verified": False,
        "error": sentence,
        "message": sentence,
        "code": outcome.value,
        "requestId": structlog.contextvars.get_contextvars().get("request_id"),
    }
    headers = {"Retry-After": str(_RETRY_SECONDS)} if outcome in _RETRYABLE else None
    return answer(content, 402, headers)


def _honoured(body: ProofBody, question: Question, found: Answer) -> Response:
    assert found.transfer is not None
    assert found.honoured is not None
    assert found.terms is not None
    transfer, honoured, terms = found.transfer, found.honoured, found.terms
    decimals = question.token.decimals
    proof = {
        "signature": body.signature,
        "payer": question.payer,
        "amount": orjson.Fragment(format(body.amount, "f").encode()),
        "currency": question.token.symbol,
        "nonce": body.nonce,
        "timestamp": body.timestamp,
        "transactionId": body.transaction_id,
    }
    transaction = {
        "id": str(honoured.id),
        "signature": body.transaction_id,
        "payer": question.payer,
        "recipient": transfer.destination_owner,
        "amount": figure(terms.claim.amount, decimals),
        "amountBaseUnits": str(terms.claim.amount),
        "receivedBaseUnits": str(transfer.credited),
        "currency": question.token.symbol,
        "mint": transfer.mint,
        "resource": terms.resource,
        "status": honoured.status,
        "nonce": body.nonce,
        "slot": found.slot,
        "path": transfer.path,
        "timestamp": epoch_ms(honoured.claimed_at),
    }
    if question.agent_id is not None:
        transaction["agentId"] = question.agent_id
    content = {
        "valid": True,
        "verified": True,
        "proof": proof,
        "transaction": transaction,
        "verifiedAt": time.time_ns() // 1_000_000,
    }
    return answer(content)
