"""POST /x402/settle and GET /x402/payments/{id}: send a payment once, and say what became of it."""

import uuid
from typing import Annotated, Final

from fastapi import Path, Request
from starlette.background import BackgroundTask
from starlette.responses import Response

from api.access.callers import SECURITY, OptionalCaller, count_verification, identify, permitted
from api.http.errors import errors, not_found
from api.http.json import answer
from api.routing.direct_route import DirectRoute
from api.routing.route import new_router
from api.x402.bodies import FacilitatorBody
from api.x402.context import Facilitating
from api.x402.settle_bodies import PaymentBody, SettleAnswer, SettleRefusedBody
from api.x402.settle_result import payment_body
from ledger.settlements import Settlement, find_by_id, find_by_signature

REFUSAL_FIELDS: Final = {
    "/x402/settle": {"success": False, "errorReason": "unexpected_settle_error", "transaction": "", "network": ""}
}
"""What answers of a path carry that are no verdict: published clients read these first."""

_RETRY_SECONDS: Final = 1

router = new_router("/x402", tags=["x402"])
settle_router = new_router("/x402", tags=["x402"], count=count_verification, kind=DirectRoute)


@settle_router.post(
    "/settle",
    response_model=SettleAnswer,
    response_model_exclude_none=True,
    responses=errors(400, 401, 403, 408, 409, 413, 415, 429, 503, model=SettleRefusedBody),
    dependencies=SECURITY,
)
async def settle_x402(request: Request, context: Facilitating, body: FacilitatorBody) -> Response:
    """Settle a payment: pay its fee, send it, and answer once the ledger has it.

    Every verdict is a 200, refusals too. `settlement_pending` says that it is under way after the time that is waited
    for it: repeat the request. A payment is answered with success once; whoever may not have got that answer gets it
    again, and any other repeat is `duplicate_settlement`.
    """
    caller = await identify(request)
    await count_verification(request, caller)
    if caller is not None:
        permitted(caller, "write")
    result = await context.settler.settle(body, caller, request.is_disconnected)
    content = result.answer.model_dump(by_alias=True, exclude_none=True)
    # An answer that asks to come again is kept for no Idempotency-Key.
    response = answer(content, headers={"Retry-After": str(_RETRY_SECONDS)} if result.is_pending else None)
    if result.answering is not None:
        if await request.is_disconnected():
            await context.settler.answered(result, is_gone=True)
        else:
            # It runs when the answer has been sent.
            response.background = BackgroundTask(context.settler.answered, result, is_gone=False)
    return response


@router.get("/payments/{payment_id}", response_model=PaymentBody, responses=errors(401, 403, 404))
async def get_x402_payment(
    context: Facilitating, caller: OptionalCaller, payment_id: Annotated[str, Path(max_length=88)]
) -> Response:
    """Show where a payment stands. It is named by its id or by its transaction's signature.

    With an API key one sees the payments of its user; without one, what the chain shows to everybody.
    """
    found = await _find(context, payment_id)
    if found is None or (caller is not None and not caller.sees(found.user_id)):
        raise not_found("The payment")
    return answer(payment_body(found))


async def _find(context: Facilitating, payment_id: str) -> Settlement | None:
    try:
        return await find_by_id(context.database, uuid.UUID(payment_id))
    except ValueError:
        return await find_by_signature(context.database, payment_id) if payment_id.isalnum() else None
