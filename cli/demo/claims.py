"""What the demo's buyers claim for their payments, honestly and otherwise, and what the API makes of it."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from rich.table import Table
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from ledger.amounts import amount_text
from localnet.payments import Meant, Payment, token_account

_ANSWER_SECONDS: Final = 10.0
_VALID: Final = "VALID"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A payment that landed, and who paid it."""

    signature: str
    payment: Payment
    payer: Keypair


@dataclass(frozen=True, slots=True)
class Answered:
    """A claim, the payment it is about, what the API should say to it, and what it said."""

    claim: str
    kind: str
    expected: str
    code: str


@dataclass(frozen=True, slots=True)
class _Buyer:
    session: aiohttp.ClientSession
    api_url: str
    shops: Mapping[tuple[str, str], str]
    decimals: Mapping[str, int]

    def proof(
        self,
        receipt: Receipt,
        *,
        more: int = 0,
        payer: Keypair | None = None,
        recipient: str | None = None,
        transaction: str | None = None,
    ) -> dict[str, Any]:
        """What a buyer presents: `more` base units than were paid, or with a field that differs from the receipt."""
        meant, payer, nonce = _named(receipt), payer or receipt.payer, secrets.token_hex(16)
        shop = recipient or self.shops[meant.mint, meant.destination]
        transaction = transaction or receipt.signature
        signature = payer.sign_message(f"402pay v2|{shop}|{nonce}|{transaction}".encode())
        return {
            "proofVersion": 2,
            "transactionId": transaction,
            "payer": str(payer.pubkey()),
            "recipient": shop,
            "mint": meant.mint,
            "amount": amount_text(meant.credited + more, self.decimals[meant.mint]),
            "nonce": nonce,
            "signature": str(signature),
            "timestamp": int(time.time() * 1000),
        }

    async def present(self, proof: dict[str, Any]) -> str:
        """The API's word on a proof: `VALID`, or the code of its refusal."""
        try:
            async with self.session.post(f"{self.api_url}/verify", json=proof) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return "no answer"
        return _VALID if answer.get("valid") else str(answer.get("code"))


def _named(receipt: Receipt) -> Meant:
    return receipt.payment.meant[0]


async def claim_some(
    api_url: str, api_key: str, receipts: Sequence[Receipt], shops: Sequence[Pubkey], decimals: Mapping[str, int]
) -> list[Answered]:
    """Present proofs of some payments: as they were paid, again, and with something wrong.

    Args:
        api_url: Where the API listens.
        api_key: The shops' key: it says whose money a payment is.
        receipts: At least two plain payments, and one each as batch, with a lookup table and failed.
        shops: The recipients.
        decimals: By mint.
    """
    first, second = [one for one in receipts if one.payment.kind == "plain"][:2]
    kinds = {one.payment.kind: one for one in receipts}
    mints = {_named(one).mint for one in (first, kinds["batch"], kinds["lookup table"])}
    accounts = {
        (mint, str(token_account(shop, Pubkey.from_string(mint)))): str(shop) for mint in mints for shop in shops
    }
    stranger = next(one.payer for one in receipts if one.payer.pubkey() != second.payer.pubkey())
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, headers={"x-api-key": api_key}) as session:
        buyer = _Buyer(session, api_url, accounts, decimals)
        honest = buyer.proof(first)
        paid_to = buyer.proof(second)["recipient"]
        elsewhere = next(str(shop) for shop in shops if str(shop) != paid_to)
        claims = [
            ("as it was paid", first, honest, _VALID),
            ("the same proof again", first, honest, "REPLAY_ATTACK"),
            ("the same payment with another nonce", first, buyer.proof(first), "REPLAY_ATTACK"),
            ("one unit more than was paid", second, buyer.proof(second, more=1), "INSUFFICIENT_AMOUNT"),
            ("by somebody who did not pay", second, buyer.proof(second, payer=stranger), "PAYER_MISMATCH"),
            ("to another shop", second, buyer.proof(second, recipient=elsewhere), "RECIPIENT_MISMATCH"),
            ("as it was paid", kinds["batch"], buyer.proof(kinds["batch"]), _VALID),
            ("as it was paid", kinds["lookup table"], buyer.proof(kinds["lookup table"]), _VALID),
            (
                "of a transaction that failed",
                kinds["failed"],
                buyer.proof(first, payer=kinds["failed"].payer, transaction=kinds["failed"].signature),
                "TRANSACTION_FAILED",
            ),
        ]
        return [
            Answered(claim, receipt.payment.kind, expected, await buyer.present(proof))
            for claim, receipt, proof, expected in claims
        ]


def verdicts(answered: Sequence[Answered]) -> Table:
    """The API's verdicts as a table; one that should be another says so."""
    table = Table("payment", "is claimed", "verdict", title="What the API verified")
    for one in answered:
        as_it_should = one.code == one.expected
        table.add_row(one.kind, one.claim, one.code if as_it_should else f"{one.code}, should be {one.expected}")
    return table
