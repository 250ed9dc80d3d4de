"""What the seller requires and what the buyer sends, in the same form for both versions of the protocol."""

from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from api.x402.bodies import (
    FacilitatorBody,
    PayloadV1Body,
    PayloadV2Body,
    RequirementsV1Body,
    RequirementsV2Body,
)
from api.x402.verdict import Reason, Refused
from chain.addresses import parse_address
from ledger.amounts import BASE_UNITS_MAX

MEMO_BYTES_MAX: Final = 256
VERSIONS: Final = (1, 2)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a seller wants to be paid.

    Attributes:
        scheme: How it is paid; only `exact` is known.
        network: The network, as the seller names it.
        asset: The mint of the token.
        amount: In base units.
        pay_to: The wallet that is paid.
        fee_payer: Who is to pay the fee, if anybody is named.
        memo: What the memo has to say, if anything.
        timeout_seconds: How long the seller waits at most, as it says.
    """

    scheme: str
    network: str
    asset: str
    amount: int
    pay_to: str
    fee_payer: str | None = None
    memo: str | None = None
    timeout_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Payload:
    """What a buyer sends.

    Attributes:
        version: The version of the protocol, 1 or 2.
        scheme: How it pays.
        network: The network, as the buyer names it.
        transaction: The partly signed transaction in base64.
        resource: What is bought, where the buyer says it.
        extensions: What extensions of the protocol add, by their names.
    """

    version: int
    scheme: str
    network: str
    transaction: str
    resource: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


def read_terms(body: FacilitatorBody) -> tuple[Payload, Requirements]:
    """The payload and the requirements of a request.

    Raises:
        Refused: The version is not known, or one of the two is not as its version of the protocol has it.
    """
    version = body.x402_version
    if version not in VERSIONS or body.payment_payload.get("x402Version", version) != version:
        raise Refused(
            Reason.INVALID_X402_VERSION,
            "x402Version must be 1 or 2, and the same in the body and in paymentPayload; correct it.",
        )
    return _payload(version, body.payment_payload), _requirements(version, body.payment_requirements)


def _payload(version: int, sent: dict[str, Any]) -> Payload:
    try:
        if version == 1:
            first = PayloadV1Body.model_validate(sent)
            return Payload(version, first.scheme, first.network, first.payload.transaction)
        second = PayloadV2Body.model_validate(sent)
    except ValidationError as error:
        raise Refused(Reason.INVALID_PAYLOAD, _sentence("paymentPayload", error)) from None
    return Payload(
        version,
        second.accepted.scheme,
        second.accepted.network,
        second.payload.transaction,
        resource=second.resource.url if second.resource else None,
        extensions=second.extensions or {},
    )


def _requirements(version: int, sent: dict[str, Any]) -> Requirements:
    try:
        body = (RequirementsV1Body if version == 1 else RequirementsV2Body).model_validate(sent)
    except ValidationError as error:
        raise Refused(Reason.INVALID_PAYMENT_REQUIREMENTS, _sentence("paymentRequirements", error)) from None
    amount = int(body.max_amount_required if isinstance(body, RequirementsV1Body) else body.amount)
    if not 0 < amount <= BASE_UNITS_MAX:
        raise _malformed("the amount must be more than 0 and fit a token account")
    asset, pay_to = parse_address(body.asset), parse_address(body.pay_to)
    if asset is None or pay_to is None:
        raise _malformed("asset and payTo must be addresses of 32 bytes in base58")
    extra = body.extra
    memo = extra.memo if extra else None
    if memo is not None and len(memo.encode()) > MEMO_BYTES_MAX:
        raise _malformed(f"extra.memo may have {MEMO_BYTES_MAX} bytes at most")
    return Requirements(
        scheme=body.scheme,
        network=body.network,
        asset=asset,
        amount=amount,
        pay_to=pay_to,
        fee_payer=extra.fee_payer if extra else None,
        # Published clients take an empty memo for none.
        memo=memo or None,
        timeout_seconds=body.max_timeout_seconds,
    )


def _malformed(what: str) -> Refused:
    return Refused(Reason.INVALID_PAYMENT_REQUIREMENTS, f"In paymentRequirements {what}; correct it.")


def _sentence(where: str, error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    field_name = ".".join(map(str, problem["loc"]))
    return f"{where}.{field_name}: {problem['msg']}; correct it."[:500]
