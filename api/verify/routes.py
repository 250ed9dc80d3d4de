"""POST /verify: is this payment real, this merchant's, and not used before?"""

import time
from typing import Final

import orjson
from fastapi import Request
from solders.pubkey import Pubkey
from solders.signature import Signature
from starlette.responses import Response

from api.access.callers import SECURITY, count_verification, identify, limited_address, permitted
from api.http.errors import RETRY_SECONDS, ApiError, errors, invalid
from api.http.json import answer, exact_amount
from api.routing.direct_route import DirectRoute
from api.routing.idempotency import repeatable_request
from api.routing.route import new_router
from api.tokens import TokenBook
from api.verify.bodies import HonouredBody, ProofBody, RefusedBody
from api.verify.context import Verifying
from api.verify.proof import BOUND_PROOF, SubmittedProof, Verification, VerifyResult
from ledger.judge import Outcome
from ledger.recipients import RESERVED_START
from ledger.times import epoch_ms

_REFUSED: Final = {"valid": False, "verified": False}
REFUSAL_FIELDS: Final = {"/verify": _REFUSED}
"""What every refusal of a path carries besides what errors have: clients read these first."""

router = new_router(tags=["Verify"], count=count_verification, kind=DirectRoute)

_SENTENCES: Final = {
    Outcome.INVALID_SIGNATURE: "The signature is not the payer's over what it must sign; see proofVersion.",
    Outcome.PAYMENT_EXPIRED: "The proof or its payment request has expired; make a new one.",
    Outcome.RECIPIENT_REQUIRED: "Nothing says whose money this should be; send an API key, or a requested nonce.",
    Outcome.RECIPIENT_NOT_FOLLOWED: "The wallet is not followed by this ledger; register it with POST /recipients.",
    Outcome.REPLAY_ATTACK: "The nonce or the payment has been used already; pay again with a new nonce.",
    Outcome.NONCE_MISMATCH: "The nonce or the payment belongs to another payment request; claim what was requested.",
    Outcome.PAYMENT_PENDING: "The payment is not in the ledger yet; repeat the request in a moment.",
    Outcome.TRANSACTION_FAILED: "The transaction failed on chain or never landed, and moved no money; pay again.",
    Outcome.RECIPIENT_MISMATCH: "The transaction did not pay this merchant; check the transaction.",
    Outcome.CURRENCY_MISMATCH: "The transaction paid this merchant in another token; check the token.",
    Outcome.PAYER_MISMATCH: "The transaction was paid by another wallet; prove it with the wallet that paid.",
    Outcome.INSUFFICIENT_AMOUNT: "The transaction paid less than is claimed; pay the whole amount.",
    Outcome.AMOUNT_MISMATCH: "The transaction paid more than is claimed; claim exactly what was paid.",
    Outcome.NOT_FINALIZED: "The payment is confirmed but not finalized yet; repeat the request in a moment.",
}
_REFUSED_EXAMPLE: Final = {
    **_REFUSED,
    "error": _SENTENCES[Outcome.INSUFFICIENT_AMOUNT],
    "message": _SENTENCES[Outcome.INSUFFICIENT_AMOUNT],
    "code": Outcome.INSUFFICIENT_AMOUNT.value,
    "requestId": "0f8fad5bd9cb469f",
}
_RETRYABLE: Final = frozenset({Outcome.PAYMENT_PENDING, Outcome.NOT_FINALIZED})


@router.post(
    "/verify",
    response_model=HonouredBody,
    responses={
        402: {
            "model": RefusedBody,
            "description": "Refused, or not decided yet (`PAYMENT_PENDING`, `NOT_FINALIZED`, with `Retry-After`). "
            "In order of precedence:\n\n"
            + "\n".join(f"- `{outcome}`: {sentence}" for outcome, sentence in _SENTENCES.items()),
            "content": {"application/json": {"example": _REFUSED_EXAMPLE}},
        },
        **errors(400, 401, 403, 408, 409, 413, 415, 429, 503, model=RefusedBody),
    },
    dependencies=SECURITY,
)
async def post_verify(request: Request, context: Verifying, body: ProofBody) -> Response:
    """Verify a payment and use it up.

    Zero RPC calls for a payment that is indexed. One that is on its way is waited for; if it does not come, the
    answer is `PAYMENT_PENDING`, and the claim is settled later: repeat the request to learn its fate.
    """
    proof = await _proof(context.tokens, body)
    caller = await identify(request)
    await count_verification(request, caller)
    if caller is not None:
        permitted(caller, "write")
    repeatable = await repeatable_request(request, caller)
    verification = Verification(proof, caller, context.final_from, repeatable, client=limited_address(request))
    found = await context.verifier.verify(verification, request.is_disconnected)
    return _honoured(body, proof, found) if found.outcome is Outcome.HONOURED else _refused(found.outcome)


async def _proof(tokens: TokenBook, body: ProofBody) -> SubmittedProof:
    """The proof, checked in form. Raises ApiError 400."""
    if body.nonce.startswith(RESERVED_START):
        raise invalid("nonce begins as our own texts do; sign a nonce of the merchant's.", {"field": "nonce"})
    if body.proof_version == BOUND_PROOF and body.recipient is None:
        raise invalid("A proof of version 2 names its recipient; send it.", {"field": "recipient"})
    token = await tokens.find(body.currency, body.mint)
    amount = token.base_units(body.amount)
    payer = _address(body.payer, "payer")
    try:
        signature = Signature.from_string(body.signature)
        str(Signature.from_string(body.transaction_id))
    except ValueError:
        raise invalid("signature and transactionId must be 64 bytes in base58; correct them.") from None
    return SubmittedProof(
        payer=str(payer),
        version=body.proof_version,
        is_signed=signature.verify(payer, signed_text(body).encode()),
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


def signed_text(body: ProofBody) -> str:
    """What the payer of this proof has to have signed."""
    if body.proof_version == BOUND_PROOF:
        return f"402pay v2|{body.recipient}|{body.nonce}|{body.transaction_id}"
    return body.nonce


def _address(text: str, name: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        raise invalid(f"{name} must be 32 bytes in base58; correct it.", {"field": name}) from None


def _refused(outcome: Outcome) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)} if outcome in _RETRYABLE else None
    return ApiError(402, outcome.value, _SENTENCES[outcome], headers=headers).response(_REFUSED)


def _honoured(body: ProofBody, proof: SubmittedProof, found: VerifyResult) -> Response:
    assert found.transfer is not None
    assert found.honoured is not None
    assert found.terms is not None
    transfer, honoured, terms = found.transfer, found.honoured, found.terms
    decimals = proof.token.decimals
    echoed = {
        "signature": body.signature,
        "payer": proof.payer,
        "amount": orjson.Fragment(format(body.amount, "f").encode()),
        "currency": proof.token.symbol,
        "nonce": body.nonce,
        "timestamp": body.timestamp,
        "transactionId": body.transaction_id,
    }
    transaction = {
        "id": str(honoured.id),
        "signature": body.transaction_id,
        "payer": proof.payer,
        "recipient": transfer.destination_owner,
        "amount": exact_amount(terms.claim.amount, decimals),
        "amountBaseUnits": str(terms.claim.amount),
        "receivedBaseUnits": str(transfer.credited),
        "currency": proof.token.symbol,
        "mint": transfer.mint,
        "resource": terms.resource,
        "status": "confirmed",
        "finality": honoured.status,
        "nonce": body.nonce,
        "slot": found.slot,
        "path": transfer.path,
        "timestamp": epoch_ms(honoured.claimed_at),
    }
    if proof.agent_id is not None:
        transaction["agentId"] = proof.agent_id
    content = {
        "valid": True,
        "verified": True,
        "proof": echoed,
        "transaction": transaction,
        "verifiedAt": time.time_ns() // 1_000_000,
    }
    return answer(content)
