"""Whether a payout can be sent now and by which way, and if not, for what reason it has to wait."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from solders.pubkey import Pubkey

from chain.accounts import AccountState
from chain.addresses import INCINERATOR
from chain.cluster_rules import LAMPORTS_PER_SIGNATURE
from chain.node import Node
from chain.programs import SOL_DECIMALS, SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, TOKEN_PROGRAMS
from chain.sending import Sending, associated_account, rent_exempt_lamports
from ledger.tokens import NATIVE_SOL
from worker.payouts.costs import PayoutPolicy
from worker.payouts.rows import Costs, Payout

# The size of an associated account, by its program. One of Token-2022 carries its owner's mark (4 bytes) and whatever
# its mint demands, at most: fees (12), no transfers (4), a transfer hook (5), a pause (4), behind a byte for its kind.
_ACCOUNT_BYTES: Final = {TOKEN_PROGRAM: 165, TOKEN_2022_PROGRAM: 165 + 1 + 4 + 12 + 4 + 5 + 4}
_OWNED_MAX: Final = 100


class Waiting(StrEnum):
    """Why a payout waits. The values are labels of a metric."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    """The settlement wallet holds less of the token than is to be sent."""
    INSUFFICIENT_LAMPORTS = "insufficient_lamports"
    """It cannot pay the fee, or the rent of the recipient's token account."""
    SOURCE_FROZEN = "source_frozen"
    """The token's issuer has frozen the settlement wallet's account."""
    DESTINATION_FROZEN = "destination_frozen"
    """The token's issuer has frozen the recipient's account."""
    DESTINATION_UNUSABLE = "destination_unusable"
    """Nobody can sign for the recipient, it is the wallet that pays, or its token account belongs to somebody else."""
    BELOW_RENT = "below_rent"
    """The recipient does not exist, and so little SOL cannot bring it to life."""
    BELOW_COST = "below_cost"
    """Its claim brought less than sending costs, or what nobody can put a price on: it waits for its owner to ask."""
    NO_ACCOUNT = "no_account"
    """The recipient has no account for the token, and the money does not pay for one: it waits for its owner."""
    PAYER_BUDGET = "payer_budget"
    """The recipient was sent as many refunds in a day as a wallet is sent without anybody asking."""
    FEE_BUDGET = "fee_budget"
    """Fees for the day are used up, and nobody has said what of this token is worth one: it waits for another day."""
    MINT_UNUSABLE = "mint_unusable"
    """The token's mint is not on the chain, or keeps so much that nothing arrives."""
    TOO_FEW_NODES = "too_few_nodes"
    """Too few nodes say how high the chain is: one alone could have us believe that what was signed lands no more."""


WAITS_FOR_OWNER: Final = frozenset({Waiting.BELOW_COST, Waiting.NO_ACCOUNT, Waiting.PAYER_BUDGET, Waiting.FEE_BUDGET})
"""Reasons that nobody but the owner of the money can mend, or another day."""


class NotReadyError(Exception):
    """It cannot be sent now, for `reason`."""

    def __init__(self, reason: Waiting) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReadyPayout:
    """What to send, what it costs, and who bears that."""

    sending: Sending
    costs: Costs


async def ready_payout(node: Node, payout: Payout, policy: PayoutPolicy) -> ReadyPayout:
    """How to send a payout so that it never costs more than it brought.

    Args:
        node: Asked for the accounts as the cluster has voted for them.
        payout: What is owed.
        policy: What an operator has set.

    Raises:
        NotReadyError: Something is missing.
        RpcError: The nodes did not answer.
    """
    if payout.kind == "refund" and not payout.is_asked and payout.refunds_of_day >= policy.refunds_per_payer_max:
        raise NotReadyError(Waiting.PAYER_BUDGET)
    if payout.recipient in {INCINERATOR, payout.wallet}:
        raise NotReadyError(Waiting.DESTINATION_UNUSABLE)
    return await (_ready_sol if payout.mint == NATIVE_SOL else _ready_tokens)(node, payout, policy)


async def _ready_sol(node: Node, payout: Payout, policy: PayoutPolicy) -> ReadyPayout:
    way = Sending(
        payout.wallet,
        payout.recipient,
        payout.mint,
        SYSTEM_PROGRAM,
        SOL_DECIMALS,
        payout.amount,
        0,
        payout.reference,
        _memo(payout),
        payout.recipient,
        unit_price=policy.unit_price,
    )
    costs = _costs(payout, policy, way, 0)
    sending = replace(way, gross=payout.amount - costs.charged)
    _, (wallet, recipient) = await node.accounts([payout.wallet, payout.recipient], commitment="confirmed")
    _check_recipient(payout.recipient, recipient, is_made=recipient is not None)
    if recipient is None and sending.gross < await rent_exempt_lamports(node.pool, 0):
        raise NotReadyError(Waiting.BELOW_RENT)
    await _check_wallet(node, wallet, sending.gross + costs.fee_lamports)
    return ReadyPayout(sending, costs)


def _memo(payout: Payout) -> str:
    return f"402pay payout {payout.id}"


async def _ready_tokens(node: Node, payout: Payout, policy: PayoutPolicy) -> ReadyPayout:
    _, mint = await node.account(payout.mint)
    if mint is None or mint.program not in TOKEN_PROGRAMS:
        raise NotReadyError(Waiting.MINT_UNUSABLE)
    rent = await rent_exempt_lamports(node.pool, _ACCOUNT_BYTES[mint.program])
    own = associated_account(payout.recipient, payout.mint, mint.program)
    source_address = associated_account(payout.wallet, payout.mint, mint.program)
    # What goes back goes to where it came from, if that is still its owner's.
    came_from = payout.came_from if payout.kind == "refund" and payout.came_from else own
    addresses = [source_address, payout.wallet, payout.recipient, came_from, own]
    _, (source, wallet, recipient, first, second) = await node.accounts(addresses, commitment="confirmed")
    destination = await _destination(node, payout, {came_from: first, own: second})
    _check_recipient(payout.recipient, recipient, is_made=recipient is not None or destination is not None)
    way = Sending(
        payout.wallet,
        payout.recipient,
        payout.mint,
        mint.program,
        mint.mint_decimals,
        payout.amount,
        0,
        payout.reference,
        _memo(payout),
        destination or own,
        opens_account=destination is None,
        unit_price=policy.unit_price,
    )
    if payout.kind == "refund" and not payout.is_asked:
        least = policy.price_of(payout, _fee_lamports(way), rent)
        if least is None or payout.brought < least:
            raise NotReadyError(Waiting.BELOW_COST)
    costs = _costs(payout, policy, way, rent)
    gross = payout.amount - costs.charged
    sending = replace(way, gross=gross, fee=await _token_fee(node, mint, gross))
    if sending.fee >= sending.gross:
        raise NotReadyError(Waiting.MINT_UNUSABLE)
    if source is None or not source.is_token_account or source.token_amount < sending.gross:
        raise NotReadyError(Waiting.INSUFFICIENT_FUNDS)
    if source.is_frozen:
        raise NotReadyError(Waiting.SOURCE_FROZEN)
    await _check_wallet(node, wallet, costs.rent_lamports + costs.fee_lamports)
    return ReadyPayout(sending, costs)


async def _destination(node: Node, payout: Payout, known: dict[str, AccountState | None]) -> str | None:
    """An account of the recipient's that can be paid; `None` where one has to be opened.

    An account may have been handed over to somebody else since: whose it is, is asked each time.
    """
    for address, account in known.items():
        if _is_payable(account, payout):
            return address
    owned = [one.address for one in await node.token_accounts(payout.recipient) if one.mint == payout.mint]
    if owned:
        _, states = await node.accounts(owned[:_OWNED_MAX], commitment="confirmed")
        for address, account in zip(owned, states, strict=False):
            if _is_payable(account, payout):
                return address
    *_, own = known.values()
    if own is not None and own.is_token_account:
        raise NotReadyError(Waiting.DESTINATION_FROZEN if own.is_frozen else Waiting.DESTINATION_UNUSABLE)
    return None


def _is_payable(account: AccountState | None, payout: Payout) -> bool:
    return (
        account is not None
        and account.is_token_account
        and account.token_mint == payout.mint
        and account.token_owner == payout.recipient
        and not account.is_frozen
    )


def _costs(payout: Payout, policy: PayoutPolicy, way: Sending, rent: int) -> Costs:
    """What sending costs, and what of the payout is kept for it.

    The price of an account is always taken from the money. The network's fee is given while the budgets last, and taken
    from the money beyond them and of a refund in SOL.
    """
    fee = _fee_lamports(way)
    owed = fee + payout.unborne_lamports
    is_given = owed <= payout.gift_left_lamports and not (payout.kind == "refund" and payout.mint == NATIVE_SOL)
    gift = owed if is_given else 0
    rent_paid = rent if way.opens_account else 0
    borne = rent_paid + owed - gift
    if not borne:
        return Costs(fee, 0, gift, 0, 0)
    charged = borne if payout.mint == NATIVE_SOL else policy.price_of(payout, borne, rent)
    if charged is None:
        raise NotReadyError(Waiting.NO_ACCOUNT if way.opens_account else Waiting.FEE_BUDGET)
    if charged >= payout.amount:
        raise NotReadyError(Waiting.NO_ACCOUNT if way.opens_account else Waiting.BELOW_COST)
    return Costs(fee, rent_paid, gift, borne, charged)


def _fee_lamports(way: Sending) -> int:
    return way.priority_fee + LAMPORTS_PER_SIGNATURE


async def _token_fee(node: Node, mint: AccountState, gross: int) -> int:
    """What the token itself keeps of `gross`, in base units; the recipient bears it."""
    if mint.program == TOKEN_PROGRAMS[0]:
        return 0
    fee = mint.transfer_fee(await node.epoch())
    return fee.of(gross) if fee else 0


def _check_recipient(address: str, recipient: AccountState | None, *, is_made: bool) -> None:
    """Refuse what nobody can sign for: what was sent there would be lost."""
    if recipient is not None:
        is_wallet = recipient.program == SYSTEM_PROGRAM or recipient.is_multisig
        if recipient.executable or not is_wallet:
            raise NotReadyError(Waiting.DESTINATION_UNUSABLE)
    elif not is_made and not Pubkey.from_string(address).is_on_curve():
        raise NotReadyError(Waiting.DESTINATION_UNUSABLE)


async def _check_wallet(node: Node, wallet: AccountState | None, spent: int) -> None:
    """The wallet pays `spent` lamports in all, and what is left must keep it alive."""
    left = (wallet.lamports if wallet else 0) - spent
    if left < await rent_exempt_lamports(node.pool, 0):
        raise NotReadyError(Waiting.INSUFFICIENT_LAMPORTS)
