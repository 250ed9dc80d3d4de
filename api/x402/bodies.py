"""The JSON of the x402 protocol in its versions 1 and 2, as published clients and middlewares send and read it.

Fields that we do not use are not read, so that a client may send more than we know.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from api.http.errors import ErrorBody
from api.http.fields import LongText
from api.http.json import AnswerShape, Shape

_Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Amount = Annotated[
    str,
    # ASCII digits alone: `int()` reads those of other scripts, signs, spaces and underscores too.
    StringConstraints(min_length=1, max_length=20, pattern=r"^[0-9]+$"),
    Field(description="Base units as a decimal string"),
]
_Account = Annotated[str, StringConstraints(min_length=32, max_length=44)]
_Seconds = Annotated[int, Field(ge=0, lt=2**31)]


class ExtraBody(Shape):
    """What requirements say for this scheme."""

    fee_payer: _Account | None = Field(None, description="Who pays the fee: one of `signers` of GET /x402/supported")
    memo: Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00]*$")] | None = Field(
        None, description="What the memo of the transaction has to say; the nonce of a payment request pays that one"
    )


class RequirementsV2Body(Shape):
    """What a seller wants, in version 2."""

    scheme: _Name
    network: _Name = Field(description="CAIP-2")
    asset: _Account = Field(description="The mint of the token")
    amount: _Amount
    pay_to: _Account = Field(description="The wallet that is paid")
    max_timeout_seconds: _Seconds = 60
    extra: ExtraBody | None = None


class RequirementsV1Body(Shape):
    """What a seller wants, in version 1."""

    scheme: _Name
    network: _Name = Field(description="`solana`, `solana-devnet` or `solana-testnet`")
    asset: _Account = Field(description="The mint of the token")
    max_amount_required: _Amount
    pay_to: _Account = Field(description="The wallet that is paid")
    max_timeout_seconds: _Seconds = 60
    extra: ExtraBody | None = None


class TransactionBody(Shape):
    """The payment itself."""

    transaction: Annotated[str, StringConstraints(min_length=1, max_length=4096)] = Field(
        description="A transaction in base64, signed by the payer and not by the fee payer"
    )


class AcceptedBody(Shape):
    """Of the requirements that the buyer chose, what has to agree with those that the seller sends."""

    scheme: _Name
    network: _Name


class ResourceBody(Shape):
    """What is bought."""

    url: LongText


class PayloadV2Body(Shape):
    """What a buyer sends, in version 2."""

    accepted: AcceptedBody
    payload: TransactionBody
    resource: ResourceBody | None = None
    extensions: dict[str, Any] | None = None


class PayloadV1Body(Shape):
    """What a buyer sends, in version 1."""

    scheme: _Name
    network: _Name
    payload: TransactionBody


class FacilitatorBody(Shape):
    """What a seller asks about: a payment, and what it has to be."""

    x402_version: int = Field(strict=True, description="The version of the protocol: 1 or 2", examples=[2])
    payment_payload: dict[str, Any] = Field(description="What the buyer sent, as it is")
    payment_requirements: dict[str, Any] = Field(description="What the seller requires, as it sent it to the buyer")


class VerifyAnswer(AnswerShape):
    """The verdict on a payment that was not sent yet. Fields without a value are left out."""

    is_valid: bool
    invalid_reason: str | None = Field(None, description="Why it is refused, in the protocol's own words")
    invalid_message: str | None = Field(None, description="A sentence that says what is wrong and what to do")
    payer: str | None = Field(None, description="The wallet that signed the transfer")


class VerifyRefusedBody(ErrorBody):
    """No verdict: the request itself is refused, or a part of ours is down."""

    model_config = ConfigDict(extra="forbid")

    is_valid: Literal[False] = False
    invalid_reason: Literal["unexpected_verify_error"] = "unexpected_verify_error"


class KindExtra(AnswerShape):
    """What a seller copies into its requirements, and what this facilitator pays for at most."""

    fee_payer: str
    compute_units_max: int
    compute_unit_price_max_microlamports: int


class SupportedKind(AnswerShape):
    """A way of paying that can be settled here."""

    x402_version: int
    scheme: str
    network: str
    extra: KindExtra


class SupportedAnswer(AnswerShape):
    """Every way of paying that can be settled here."""

    kinds: list[SupportedKind]
    extensions: list[str]
    signers: dict[str, list[str]] = Field(description="The fee payers by family of networks")
