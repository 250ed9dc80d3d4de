"""The JSON of POST /verify: the proof that is sent, and the two kinds of answer."""

from typing import Literal

from pydantic import ConfigDict, Field

from api.http.errors import ErrorBody
from api.http.fields import Address, AmountSent, Base58Signature, BaseUnitsText, EpochMs, ExactAmount, ShortText
from api.http.json import AnswerShape, Shape
from ledger.states import Finality


class ProofBody(Shape):
    """A payer's proof of a payment. Fields that are not listed are ignored."""

    signature: Base58Signature = Field(
        description="ed25519 by `payer`, base58: over the UTF-8 bytes of `nonce`, or, with `proofVersion` 2, over "
        "those of `402pay v2|{recipient}|{nonce}|{transactionId}`, which is good for that payment alone"
    )
    proof_version: Literal[1, 2] = Field(1, description="What is signed; 2 needs `recipient`")
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


class EchoedProof(AnswerShape):
    """The proof as it was sent, with its token as the ledger calls it."""

    signature: str = Field(description="The payer's signature over what it must sign")
    payer: str
    amount: ExactAmount
    currency: str
    nonce: str
    timestamp: EpochMs = Field(description="When the proof was made, as it says")
    transaction_id: str


class HonouredTransaction(AnswerShape):
    """A payment that honours a claim."""

    id: str
    signature: str = Field(description="The transaction's signature on chain")
    payer: str
    recipient: str
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    received_base_units: BaseUnitsText
    currency: str
    mint: str
    resource: str | None = None
    status: Literal["confirmed"]
    finality: Finality = Field(description="Whether its transfer can still be undone")
    nonce: str
    slot: int
    path: str = Field(description="The instruction that moved the money")
    agent_id: str | None = None
    timestamp: EpochMs


class HonouredBody(AnswerShape):
    """The payment is real, this merchant's, and was not used before."""

    valid: Literal[True] = True
    verified: Literal[True] = True
    proof: EchoedProof
    transaction: HonouredTransaction
    verified_at: EpochMs


class RefusedBody(ErrorBody):
    """The claim is refused, or not decided yet."""

    model_config = ConfigDict(extra="forbid")

    valid: Literal[False] = False
    verified: Literal[False] = False
