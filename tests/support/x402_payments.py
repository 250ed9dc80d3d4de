"""Payments over x402 as published clients build them, byte by byte, so that a test can build one that is wrong."""

import base64
from dataclasses import dataclass, field, replace

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from tests.support.wallets import MEMO, SPL, USDC, memo, token_account, transfer_checked

COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
LIGHTHOUSE = Pubkey.from_string("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95")
DEVNET = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
UNSIGNED = Signature.default()


def unit_limit(units=20_000):
    return Instruction(COMPUTE_BUDGET, bytes([2]) + units.to_bytes(4, "little"), [])


def unit_price(microlamports=1):
    return Instruction(COMPUTE_BUDGET, bytes([3]) + microlamports.to_bytes(8, "little"), [])


def guard(*accounts, kind=4):
    """An instruction of Lighthouse; from 2 on they assert, 0 and 1 write and close an account at somebody's cost."""
    return Instruction(LIGHTHOUSE, bytes([kind, 0]), [AccountMeta(account, False, False) for account in accounts])


@dataclass(frozen=True)
class Purchase:
    """What a buyer pays and how; `replace` what is to be wrong."""

    fee_payer: Pubkey
    payer: Keypair
    pay_to: Pubkey
    amount: int = 10_000
    mint: Pubkey = USDC
    program: Pubkey = SPL
    decimals: int = 6
    memo: str | None = "0123456789abcdef0123456789abcdef"
    is_memo_required: bool = False
    units: int = 20_000
    price: int = 1
    blockhash: Hash = field(default_factory=Hash.default)
    signers: tuple[Keypair, ...] = ()
    instructions: tuple[Instruction, ...] | None = None
    is_legacy: bool = False

    @property
    def transfer(self):
        """The transfer of a published client."""
        source = token_account(self.payer.pubkey(), self.mint, self.program)
        destination = token_account(self.pay_to, self.mint, self.program)
        return transfer_checked(
            source, self.mint, destination, self.payer.pubkey(), self.amount, self.decimals, self.program
        )

    @property
    def usual(self):
        """The instructions of a published client."""
        first = (unit_limit(self.units), unit_price(self.price), self.transfer)
        return first if self.memo is None else (*first, memo(self.memo))

    def but(self, **changes):
        """The same purchase with something changed."""
        return replace(self, **changes)

    def placed(self, position, *others):
        """The same purchase with other instructions from `position` on, as many as are given."""
        usual = list(self.usual)
        usual[position : position + len(others)] = others
        return self.but(instructions=tuple(usual))

    def with_more(self, *others):
        """The same purchase with more instructions after the usual ones."""
        return self.but(instructions=(*self.usual, *others))

    def transaction(self, tables=()):
        """The transaction, signed by the payer and the further signers, not by the fee payer."""
        instructions = list(self.usual if self.instructions is None else self.instructions)
        if self.is_legacy:
            message = Message.new_with_blockhash(instructions, self.fee_payer, self.blockhash)
        else:
            message = MessageV0.try_compile(self.fee_payer, instructions, list(tables), self.blockhash)
        keys = {one.pubkey(): one for one in (self.payer, *self.signers)}
        text = to_bytes_versioned(message)
        wanted = message.account_keys[: message.header.num_required_signatures]
        signatures = [keys[key].sign_message(text) if key in keys else UNSIGNED for key in wanted]
        return VersionedTransaction.populate(message, signatures)

    @property
    def encoded(self):
        """The transaction in base64."""
        return base64.b64encode(bytes(self.transaction())).decode()

    def requirements(self, version=2, **changes):
        """What a seller requires who is paid by this purchase, as JSON."""
        extra = {"feePayer": str(self.fee_payer)} | ({"memo": self.memo} if self.is_memo_required else {})
        one = {
            "scheme": "exact",
            "network": DEVNET if version == 2 else "solana-devnet",
            "asset": str(self.mint),
            "payTo": str(self.pay_to),
            "maxTimeoutSeconds": 60,
            "extra": extra,
        }
        if version == 2:
            one["amount"] = str(self.amount)
        else:
            one |= {"maxAmountRequired": str(self.amount), "resource": "https://shop.example/1", "description": ""}
        return {**one, **changes}

    def body(self, version=2, requirements=None, **payload):
        """The body of a facilitator's route."""
        required = self.requirements(version)
        sent = {"x402Version": version, "payload": {"transaction": self.encoded}}
        if version == 2:
            sent |= {"accepted": required, "resource": {"url": "https://shop.example/1"}}
        else:
            sent |= {"scheme": required["scheme"], "network": required["network"]}
        return {
            "x402Version": version,
            "paymentPayload": {**sent, **payload},
            "paymentRequirements": required if requirements is None else requirements,
        }


__all__ = ["DEVNET", "LIGHTHOUSE", "MEMO", "Purchase", "guard", "unit_limit", "unit_price"]
