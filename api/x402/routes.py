"""POST /x402/verify and GET /x402/supported: what can be settled here, and whether a payment could be."""

from typing import Final

from fastapi import Request
from starlette.responses import Response

from api.access.callers import SECURITY, OptionalCaller, count_verification, identify, permitted
from api.http.errors import errors
from api.http.json import answer
from api.routing.direct_route import DirectRoute
from api.routing.route import new_router
from api.x402.bodies import (
    FacilitatorBody,
    KindExtra,
    SupportedAnswer,
    SupportedKind,
    VerifyAnswer,
    VerifyRefusedBody,
)
from api.x402.check import SCHEME
from api.x402.context import Facilitating
from api.x402.payment_identifiers import EXTENSION
from api.x402.terms import VERSIONS

REFUSAL_FIELDS: Final = {"/x402/verify": {"isValid": False, "invalidReason": "unexpected_verify_error"}}
"""What answers of a path carry that are no verdict: published clients read these first."""

router = new_router("/x402", tags=["x402"])
verify_router = new_router("/x402", tags=["x402"], count=count_verification, kind=DirectRoute)


@verify_router.post(
    "/verify",
    response_model=VerifyAnswer,
    response_model_exclude_none=True,
    responses=errors(400, 401, 403, 408, 409, 413, 415, 429, 503, model=VerifyRefusedBody),
    dependencies=SECURITY,
)
async def verify_x402(request: Request, context: Facilitating, body: FacilitatorBody) -> Response:
    """Say whether a payment could be settled now; nothing is changed and nothing is sent.

    Every verdict is a 200, refusals too: other answers say nothing about the payment. A seller sends its API key;
    without one, anybody may ask about a wallet that this ledger follows.
    """
    caller = await identify(request)
    await count_verification(request, caller)
    if caller is not None:
        permitted(caller, "write")
    verdict = await context.verifier.verify(body, caller)
    content = VerifyAnswer(
        is_valid=verdict.is_valid,
        invalid_reason=verdict.reason,
        invalid_message=verdict.message,
        payer=verdict.payer,
    )
    return answer(content.model_dump(by_alias=True, exclude_none=True))


@router.get("/supported", response_model=SupportedAnswer, responses=errors(401))
async def get_x402_supported(context: Facilitating, _: OptionalCaller) -> Response:
    """Name what can be settled here: networks, who pays the fee, and how much of one is paid at most.

    A fee payer that was named here goes on being honoured, so the answer may be kept.
    """
    verifier = context.verifier
    fee_payer = verifier.fee_payers.next_advertised()
    kinds = []
    if fee_payer is not None:
        extra = KindExtra(
            fee_payer=fee_payer,
            compute_units_max=verifier.limits.compute_units_max,
            compute_unit_price_max_microlamports=verifier.limits.price_microlamports_max,
        )
        kinds = [
            SupportedKind(x402_version=version, scheme=SCHEME, network=verifier.network.name(version), extra=extra)
            for version in sorted(VERSIONS, reverse=True)
        ]
    signers = {"solana:*": list(verifier.fee_payers.addresses)} if verifier.fee_payers.addresses else {}
    return answer(SupportedAnswer(kinds=kinds, extensions=[EXTENSION] if kinds else [], signers=signers))
