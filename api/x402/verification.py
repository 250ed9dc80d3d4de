"""Judges payments before anything is sent: by what they say, by whose they are, and by what a node says of them."""

from dataclasses import dataclass

from api.access.caller import Caller
from api.access.environments import may_trade
from api.tokens import TokenBook
from api.x402.batched_statements import BatchedStatement
from api.x402.bodies import FacilitatorBody
from api.x402.check import ExactLimits, check
from api.x402.fee_payers import FeePayers
from api.x402.networks import X402Network
from api.x402.simulation import refuse_what_would_fail
from api.x402.terms import Payload, Requirements, read_terms
from api.x402.verdict import ExactPayment, Reason, Refused, Verdict, accepted, refusal
from chain.node import Node
from ledger.payment_standings import KnownSettlement, PaymentStanding
from ledger.recipients import Recipient
from ledger.tokens import NATIVE_SOL


@dataclass(frozen=True, slots=True)
class JudgedPayment:
    """A payment that is what its seller requires, whose wallet is followed; it was not tried on a node yet.

    `settlement` is what became of it when it was reserved before.
    """

    payload: Payload
    requirements: Requirements
    payment: ExactPayment
    recipient: Recipient
    settlement: KnownSettlement | None


@dataclass(frozen=True, slots=True)
class PaymentVerifier:
    """Judges payments.

    Attributes:
        standings: What the ledger knows of wallets and messages.
        node: Where payments are tried.
        tokens: The tokens that can be paid with.
        network: The network of this ledger.
        fee_payers: Who pays fees.
        limits: What a payment may cost them.
    """

    standings: BatchedStatement[tuple[str, bytes], PaymentStanding]
    node: Node
    tokens: TokenBook
    network: X402Network
    fee_payers: FeePayers
    limits: ExactLimits

    async def verify(self, body: FacilitatorBody, caller: Caller | None) -> Verdict:
        """The verdict on a payment that is not sent yet. It changes nothing.

        Raises:
            ApiError: 503, no node answers.
        """
        try:
            judged = await self.judge(body, caller)
            if judged.settlement is None:
                await self.refuse_what_would_fail(judged)
            else:
                _refuse_what_is_decided(judged.settlement, judged.payment)
        except Refused as refused:
            return refusal(refused)
        return accepted(judged.payment)

    async def judge(self, body: FacilitatorBody, caller: Caller | None) -> JudgedPayment:
        """The payment of a request, which is what its seller requires; no node is asked.

        Raises:
            Refused: It is not, or the seller's wallet is not followed for the caller.
        """
        payload, requirements = read_terms(body)
        verdict = check(payload, requirements, self.network, self.fee_payers.addresses, self.limits)
        if verdict.payment is None:
            assert verdict.reason is not None
            raise Refused(verdict.reason, verdict.message or "", verdict.payer)
        payment = verdict.payment
        if payment.mint == NATIVE_SOL or await self.tokens.of_mint(payment.mint) is None:
            raise Refused(
                Reason.INVALID_PAYMENT_REQUIREMENTS,
                f"The token {payment.mint} is not known to this ledger; require one that is, as USDC.",
                payment.authority,
            )
        standing = await self.standings.ask((requirements.pay_to, payment.message_hash))
        recipient = _paid_wallet(
            standing.recipient,
            requirements.pay_to,
            caller,
            payment.authority,
            is_stored=standing.settlement is not None,
        )
        return JudgedPayment(payload, requirements, payment, recipient, standing.settlement)

    async def refuse_what_would_fail(self, judged: JudgedPayment) -> None:
        """Pass a payment of which a node says that it would succeed.

        Raises:
            Refused: It would fail, or has landed already.
            ApiError: 503, no node answers.
        """
        await refuse_what_would_fail(self.node, judged.payment, judged.requirements)


def _paid_wallet(
    recipient: Recipient | None, pay_to: str, caller: Caller | None, payer: str, *, is_stored: bool
) -> Recipient:
    """The followed wallet that is paid. Without a key anybody may ask about any, with one about the own ones.

    A payment that `is_stored` may have been sent: what became of it is answered though the wallet was removed since.

    Raises:
        Refused: It is not followed, or not for this caller.
    """
    if recipient is None or not (recipient.is_active or is_stored):
        sentence = f"payTo, {pay_to}, is not followed by this ledger; register it with POST /recipients."
    elif caller is not None and not caller.sees(recipient.user_id):
        sentence = f"payTo, {pay_to}, belongs to another user than the API key; require a wallet of its user."
    elif caller is not None and not may_trade(caller, recipient.environment):
        sentence = f"payTo, {pay_to}, is live, and the API key is a test key; use a live key."
    else:
        return recipient
    raise Refused(Reason.INVALID_PAYMENT_REQUIREMENTS, sentence, payer)


def _refuse_what_is_decided(settlement: KnownSettlement, payment: ExactPayment) -> None:
    """Pass a payment that is being settled, or whose seller may not have heard yet that it is: settling says so again.

    Raises:
        Refused: It has been served, or has failed.
    """
    if settlement.is_settled and settlement.answered_at is not None:
        raise Refused(
            Reason.DUPLICATE_SETTLEMENT, "This payment has been settled already; make a new one.", payment.authority
        )
    if not settlement.is_open and not settlement.is_settled:
        detail = settlement.detail or settlement.reason or "it can land no more"
        raise Refused(
            Reason.SIMULATION_FAILED, f"This payment was sent and failed: {detail}; make a new one.", payment.authority
        )
