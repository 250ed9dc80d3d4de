"""The check of a payment as a table: every reason, their order, and what no transaction may bring about."""

import base64
import hashlib
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from api.x402.bodies import FacilitatorBody
from api.x402.check import ExactLimits, check
from api.x402.networks import network_of
from api.x402.terms import read_terms
from api.x402.verdict import Reason, Refused, refusal
from tests.support.wallets import PYUSD, SPL_2022, USDT, memo, token_account, transfer_checked, wallet
from tests.support.x402_payments import DEVNET, Purchase, guard, unit_limit, unit_price

OURS, RETIRED, STRANGER = wallet(10).pubkey(), wallet(11).pubkey(), wallet(12).pubkey()
PAYER, SHOP, OTHER = wallet(20), wallet(21).pubkey(), wallet(22)
GOOD = Purchase(fee_payer=OURS, payer=PAYER, pay_to=SHOP)
LIMITS = ExactLimits(compute_units_max=60_000, price_microlamports_max=100_000)
LOCALNET = network_of("localnet")
FEE_PAYERS = (str(OURS), str(RETIRED))


def judged(body):
    """The verdict on a request."""
    try:
        payload, requirements = read_terms(FacilitatorBody.model_validate(body))
    except Refused as refused:
        return refusal(refused)
    return check(payload, requirements, LOCALNET, FEE_PAYERS, LIMITS)


def reason_of(purchase, **changes):
    """Why a purchase is refused by somebody who requires the good one."""
    required = GOOD.requirements(**changes)
    return judged(purchase.body(requirements=required)).reason


def test_what_a_published_client_builds_is_good_in_both_versions():
    for version in (2, 1):
        verdict = judged(GOOD.body(version))
        assert verdict.is_valid, verdict
        payment = verdict.payment
        message = to_bytes_versioned(GOOD.transaction().message)
        assert payment.message_hash == hashlib.sha256(message).digest()
        assert payment.transaction == bytes(GOOD.transaction())
        assert (payment.fee_payer, payment.authority, verdict.payer) == (str(OURS), *[str(PAYER.pubkey())] * 2)
        assert payment.source == str(token_account(PAYER.pubkey(), GOOD.mint))
        assert payment.destination == str(token_account(SHOP, GOOD.mint))
        assert (payment.mint, payment.amount, payment.memo) == (str(GOOD.mint), GOOD.amount, GOOD.memo)
        # Two signatures, and 20,000 compute units at one microlamport, rounded up.
        assert payment.fee_lamports_max == 10_001


@pytest.mark.parametrize(
    "purchase",
    [
        GOOD.but(is_legacy=True),
        GOOD.but(fee_payer=RETIRED),
        GOOD.but(memo=None),
        GOOD.but(mint=PYUSD, program=SPL_2022),
        GOOD.but(units=60_000, price=100_000),
        GOOD.but(amount=2**64 - 1),
        GOOD.with_more(memo("two"), memo("three"), memo("four")),
    ],
    ids=["legacy", "a retired fee payer", "no memo", "Token-2022", "at the limits", "u64", "seven instructions"],
)
def test_what_else_is_good(purchase):
    assert judged(purchase.body()).is_valid


def test_guards_of_a_wallet_are_taken_out_before_positions_count():
    """Phantom puts up to three of them first and one last; they may name the fee payer."""
    limit, price, moving, note = GOOD.usual
    guards = (guard(OURS), guard(PAYER.pubkey()), guard())
    for layout in (
        (*guards, limit, price, moving, note, guard(OURS)),
        (limit, price, *guards, moving, note, guard(OURS)),
        (limit, price, moving, note, *guards, guard()),
        (limit, guard(), price, guard(), moving),
        (*guards, limit, price, moving, *[memo(one) for one in "abcd"], guard()),
    ):
        assert judged(GOOD.but(instructions=layout).body()).is_valid


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("named", [OURS, PAYER.pubkey()], ids=["ours", "the payer's"])
def test_what_lighthouse_writes_at_somebodys_cost_is_no_guard(kind, named):
    """It opens an account whose rent the wallet pays that it names: the cheapest way to drain a fee payer."""
    writes = Instruction(guard().program_id, bytes([kind, 0]), [AccountMeta(named, True, True)])
    ours = named == OURS
    expected = Reason.FEE_PAYER_IN_ACCOUNTS if ours else Reason.UNKNOWN_FIFTH_INSTRUCTION
    assert reason_of(GOOD.with_more(writes)) is expected
    assert reason_of(GOOD.but(instructions=(writes, *GOOD.usual))) is Reason.COMPUTE_LIMIT
    empty = Instruction(guard().program_id, b"", [AccountMeta(named, True, True)])
    assert reason_of(GOOD.with_more(empty)) is expected


# Each trouble changes the purchase, what is required, or what is sent around them.
IN_REQUIREMENTS = {
    Reason.INVALID_PAYMENT_REQUIREMENTS: {"amount": "1e4"},
    Reason.UNSUPPORTED_SCHEME: {"scheme": "upto"},
    Reason.NETWORK_MISMATCH: {"network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"},
    Reason.MISSING_FEE_PAYER: {"extra": {}},
    Reason.FEE_PAYER_NOT_MANAGED: {"extra": {"feePayer": str(STRANGER)}},
    Reason.MINT_MISMATCH: {"asset": str(USDT)},
    Reason.AMOUNT_MISMATCH: {"amount": "9999"},
    Reason.RECIPIENT_MISMATCH: {"payTo": str(OTHER.pubkey())},
}
IN_PURCHASE = {
    Reason.EXCESSIVE_SIGNERS: lambda one: one.with_more(Instruction(memo("").program_id, b"hi", [signer(OTHER)])).but(
        signers=(OTHER,)
    ),
    Reason.FEE_PAYER_MISMATCH: lambda one: one.but(fee_payer=STRANGER),
    Reason.INSTRUCTIONS_LENGTH: lambda one: one.but(instructions=one.usual[:2]),
    Reason.COMPUTE_LIMIT: lambda one: one.placed(0, unit_price()),
    Reason.COMPUTE_LIMIT_TOO_HIGH: lambda one: one.but(units=60_001),
    Reason.COMPUTE_PRICE: lambda one: one.placed(1, unit_limit()),
    Reason.COMPUTE_PRICE_TOO_HIGH: lambda one: one.but(price=100_001),
    Reason.NO_TRANSFER: lambda one: one.placed(2, memo("no transfer")),
    Reason.FEE_PAYER_IN_ACCOUNTS: lambda one: one.with_more(naming(OURS)),
    Reason.UNKNOWN_FOURTH_INSTRUCTION: lambda one: one.placed(3, noop()),
    Reason.UNKNOWN_FIFTH_INSTRUCTION: lambda one: one.with_more(noop()),
    Reason.UNKNOWN_SIXTH_INSTRUCTION: lambda one: one.with_more(memo("a"), noop()),
    Reason.UNKNOWN_SEVENTH_INSTRUCTION: lambda one: one.with_more(memo("a"), memo("b"), noop()),
}


def signer(keypair):
    return AccountMeta(keypair.pubkey(), True, False)


def naming(address):
    return Instruction(memo("").program_id, b"hi", [AccountMeta(address, False, True)])


def noop():
    return Instruction(wallet(13).pubkey(), b"", [])


@pytest.mark.parametrize("reason", IN_REQUIREMENTS)
def test_each_trouble_of_the_requirements_has_its_own_reason(reason):
    assert reason_of(GOOD, **IN_REQUIREMENTS[reason]) is reason


@pytest.mark.parametrize("reason", IN_PURCHASE)
def test_each_trouble_of_the_transaction_has_its_own_reason(reason):
    verdict = judged(IN_PURCHASE[reason](GOOD).body(requirements=GOOD.requirements()))
    assert verdict.reason is reason
    assert not verdict.is_valid
    assert verdict.payment is None


# Each of these takes the place of another, or comes only where it is alone.
ALONE = {
    Reason.INSTRUCTIONS_LENGTH, Reason.COMPUTE_LIMIT, Reason.COMPUTE_PRICE, Reason.NO_TRANSFER,
    Reason.UNKNOWN_FOURTH_INSTRUCTION, Reason.UNKNOWN_FIFTH_INSTRUCTION, Reason.UNKNOWN_SIXTH_INSTRUCTION,
    Reason.UNKNOWN_SEVENTH_INSTRUCTION, Reason.FEE_PAYER_IN_ACCOUNTS, Reason.EXCESSIVE_SIGNERS,
}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pair
        for pair in combinations([reason for reason in Reason if reason in {*IN_REQUIREMENTS, *IN_PURCHASE}], 2)
        if len(set(pair) & ALONE) < 2
        # Both change the same field.
        and set(pair) not in [
            {Reason.INVALID_PAYMENT_REQUIREMENTS, Reason.AMOUNT_MISMATCH},
            {Reason.MISSING_FEE_PAYER, Reason.FEE_PAYER_NOT_MANAGED},
        ]
    ],
)  # fmt: skip
def test_of_two_troubles_the_earlier_is_the_answer(one, other):
    required, purchase = {}, GOOD
    for trouble in (one, other):
        required |= IN_REQUIREMENTS.get(trouble, {})
        if trouble in IN_PURCHASE and trouble not in ALONE:
            purchase = IN_PURCHASE[trouble](purchase)
    for trouble in {one, other} & ALONE:
        purchase = IN_PURCHASE[trouble](purchase)
    assert reason_of(purchase, **required) is one


def test_the_reasons_are_those_of_the_protocol_in_its_order():
    """Source: the specification of the scheme and the published packages."""
    exact = "invalid_exact_svm_"
    assert [reason.value for reason in Reason] == [
        "invalid_x402_version", "invalid_payload", "invalid_payment_requirements", f"{exact}unsupported_scheme",
        f"{exact}network_mismatch", "invalid_network", f"{exact}payload_missing_fee_payer",
        f"{exact}fee_payer_not_managed_by_facilitator", f"{exact}payload_transaction_could_not_be_decoded",
        f"{exact}payload_excessive_signers", f"{exact}fee_payer_mismatch", f"{exact}payload_signature_invalid",
        f"{exact}payload_transaction_address_lookup_tables", f"{exact}payload_transaction_instructions_length",
        f"{exact}payload_transaction_instructions_compute_limit_instruction",
        f"{exact}payload_transaction_instructions_compute_limit_instruction_too_high",
        f"{exact}payload_transaction_instructions_compute_price_instruction",
        f"{exact}payload_transaction_instructions_compute_price_instruction_too_high",
        f"{exact}payload_no_transfer_instruction", f"{exact}payload_transaction_fee_payer_transferring_funds",
        f"{exact}payload_transaction_fee_payer_included_in_instruction_accounts", f"{exact}payload_mint_mismatch",
        f"{exact}payload_recipient_mismatch", f"{exact}payload_amount_mismatch",
        f"{exact}payload_unknown_fourth_instruction", f"{exact}payload_unknown_fifth_instruction",
        f"{exact}payload_unknown_sixth_instruction", f"{exact}payload_unknown_seventh_instruction",
        f"{exact}payload_memo_count", f"{exact}payload_memo_mismatch", "duplicate_settlement",
        f"{exact}transaction_simulation_failed", "settlement_pending", "unexpected_settle_error",
    ]  # fmt: skip


def test_the_version_must_be_known_and_the_same_everywhere():
    assert judged({**GOOD.body(), "x402Version": 3}).reason is Reason.INVALID_X402_VERSION
    assert judged({**GOOD.body(1), "x402Version": 2}).reason is Reason.INVALID_X402_VERSION
    assert judged(GOOD.body(x402Version=1)).reason is Reason.INVALID_X402_VERSION


@pytest.mark.parametrize(
    "payload", [{"accepted": None}, {"accepted": {}}, {"payload": {}}, {"payload": {"transaction": 7}}]
)
def test_a_payload_that_lacks_something_says_what(payload):
    verdict = judged(GOOD.body(**payload))
    assert verdict.reason is Reason.INVALID_PAYLOAD
    assert verdict.message.startswith("paymentPayload.")


@pytest.mark.parametrize(
    "amount", ["", "0", "-1", "+1", "1.0", "1e3", " 10000", "10_000", "10000\n", "١٢", "2²", str(2**64), 10_000, None]
)
def test_an_amount_is_digits_and_nothing_else(amount):
    assert reason_of(GOOD, amount=amount) is Reason.INVALID_PAYMENT_REQUIREMENTS


@pytest.mark.parametrize("field", ["asset", "payTo"])
@pytest.mark.parametrize("value", ["", "1" * 31, "0OIl" * 10, "1" * 44, "z" * 44])
def test_an_address_is_32_bytes(field, value):
    assert reason_of(GOOD, **{field: value}) is Reason.INVALID_PAYMENT_REQUIREMENTS


def test_another_cluster_is_not_settled_here():
    mainnet = {"network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"}
    body = GOOD.body(requirements=GOOD.requirements(**mainnet), accepted=GOOD.requirements(**mainnet))
    assert judged(body).reason is Reason.INVALID_NETWORK
    # Each version has names of its own.
    legacy = {"network": "solana-devnet"}
    body = GOOD.body(requirements=GOOD.requirements(**legacy), accepted=GOOD.requirements(**legacy))
    assert judged(body).reason is Reason.INVALID_NETWORK
    assert network_of("devnet").caip2 == LOCALNET.caip2 == DEVNET


def sent(wire):
    text = wire if isinstance(wire, str) else base64.b64encode(wire).decode()
    return judged(GOOD.body(payload={"transaction": text}))


@pytest.mark.parametrize(
    "wire",
    [
        "no base64!", "AAA", b"\x00", b"\x01" + bytes(64), bytes(1300),
        bytes(GOOD.transaction()) + b"\x00", bytes(GOOD.transaction())[:-1],
    ],
)  # fmt: skip
def test_what_is_no_transaction_is_not_decoded(wire):
    assert sent(wire).reason is Reason.NOT_DECODED


def test_of_the_wire_bytes_only_the_message_makes_the_payment():
    """Whoever fills the fee payer's empty place with something else has made no other payment."""
    read = GOOD.transaction()
    altered = VersionedTransaction.populate(read.message, [Signature.new_unique(), *read.signatures[1:]])
    assert bytes(altered) != bytes(read)
    first, second = sent(bytes(read)), sent(bytes(altered))
    assert first.is_valid
    assert second.is_valid
    assert first.payment.message_hash == second.payment.message_hash


def test_each_signature_besides_the_fee_payers_is_verified_here():
    read = GOOD.transaction()
    for signature in (Signature.default(), OTHER.sign_message(to_bytes_versioned(read.message))):
        forged = VersionedTransaction.populate(read.message, [read.signatures[0], signature])
        assert sent(bytes(forged)).reason is Reason.SIGNATURE_INVALID


def test_the_owner_of_the_money_has_to_have_signed():
    unsigned = GOOD.transfer
    metas = [*unsigned.accounts[:3], AccountMeta(PAYER.pubkey(), False, False)]
    assert reason_of(GOOD.placed(2, Instruction(unsigned.program_id, bytes(unsigned.data), metas))) is (
        Reason.SIGNATURE_INVALID
    )


def test_keys_of_lookup_tables_are_not_taken():
    read = AddressLookupTableAccount(STRANGER, [token_account(SHOP, GOOD.mint), GOOD.mint])
    assert sent(bytes(GOOD.transaction([read]))).reason is Reason.ADDRESS_LOOKUP_TABLES


@pytest.mark.parametrize("fee_payer", [OURS, RETIRED], ids=["that pays this fee", "of another payment"])
def test_a_fee_payer_pays_nothing_but_fees(fee_payer):
    source, mint, destination = (meta.pubkey for meta in GOOD.transfer.accounts[:3])
    by_ours = transfer_checked(source, mint, destination, fee_payer, GOOD.amount)
    keys = (PAYER,)
    # A second fee payer would have to sign, and it never does for others.
    expected = Reason.FEE_PAYER_TRANSFERRING if fee_payer == OURS else Reason.SIGNATURE_INVALID
    assert reason_of(GOOD.placed(2, by_ours).but(signers=keys)) is expected
    unsigned = Instruction(
        by_ours.program_id, bytes(by_ours.data), [*by_ours.accounts[:3], AccountMeta(fee_payer, False, False)]
    )
    assert reason_of(GOOD.placed(2, unsigned)) is Reason.FEE_PAYER_TRANSFERRING
    for position in (0, 1, 2, 3):
        usual = GOOD.usual[position]
        named = Instruction(usual.program_id, bytes(usual.data), [*usual.accounts, AccountMeta(fee_payer, False, True)])
        assert reason_of(GOOD.placed(position, named)) is Reason.FEE_PAYER_IN_ACCOUNTS


def test_a_fee_payer_is_no_program():
    assert reason_of(GOOD.with_more(Instruction(RETIRED, b"", []))) is Reason.FEE_PAYER_IN_ACCOUNTS
    assert reason_of(GOOD.with_more(Instruction(OURS, b"", []))) is Reason.NOT_DECODED


def test_sol_of_the_fee_payer_goes_nowhere():
    paying = transfer(TransferParams(from_pubkey=OURS, to_pubkey=STRANGER, lamports=1))
    assert reason_of(GOOD.with_more(paying)) is Reason.FEE_PAYER_IN_ACCOUNTS
    assert reason_of(GOOD.placed(2, paying)) is Reason.NO_TRANSFER


def test_what_moves_nothing_is_no_payment():
    """It would cost the fee payer and bring the seller nothing."""
    to_itself = Purchase(fee_payer=OURS, payer=PAYER, pay_to=PAYER.pubkey())
    assert judged(to_itself.body()).reason is Reason.NO_TRANSFER
    spare = Keypair()
    metas = [AccountMeta(spare.pubkey(), False, True), *to_itself.transfer.accounts[1:]]
    moving = Instruction(to_itself.transfer.program_id, bytes(to_itself.transfer.data), metas)
    assert judged(to_itself.placed(2, moving).body()).reason is Reason.NO_TRANSFER


@pytest.mark.parametrize("amount", [1, GOOD.amount - 1, GOOD.amount + 1, 2**64 - 1])
def test_the_amount_is_equal_and_not_more(amount):
    assert reason_of(GOOD.but(amount=amount)) is Reason.AMOUNT_MISMATCH


def test_the_memo_that_is_required_is_there_once():
    required = {"extra": {"feePayer": str(OURS), "memo": "order 17"}}
    assert reason_of(GOOD.but(memo="order 17"), **required) is None
    assert reason_of(GOOD, **required) is Reason.MEMO_MISMATCH
    assert reason_of(GOOD.but(memo=None), **required) is Reason.MEMO_COUNT
    assert reason_of(GOOD.but(memo="order 17").with_more(memo("order 17")), **required) is Reason.MEMO_COUNT
    too_long = {"extra": {"feePayer": str(OURS), "memo": "€" * 86}}
    assert reason_of(GOOD.but(memo="€" * 86), **too_long) is Reason.INVALID_PAYMENT_REQUIREMENTS
    with_nul = judged(GOOD.but(memo="order\0 17").body())
    assert (with_nul.is_valid, with_nul.payment.memo) == (True, None)


def test_fees_are_counted_for_each_signature_and_rounded_up():
    for units, price, lamports in ((20_000, 0, 10_000), (1, 1, 10_001), (60_000, 100_000, 16_000)):
        assert judged(GOOD.but(units=units, price=price).body()).payment.fee_lamports_max == lamports


def test_no_byte_of_the_message_can_be_changed():
    good = bytes(GOOD.transaction())
    first = 1 + 2 * 64
    for position in range(first, len(good)):
        changed = bytearray(good)
        changed[position] ^= 1
        assert not sent(bytes(changed)).is_valid, position


ADDRESSES = [OURS, RETIRED, STRANGER, PAYER.pubkey(), SHOP, GOOD.mint, *[m.pubkey for m in GOOD.transfer.accounts]]
PROGRAMS = [*{one.program_id for one in GOOD.usual}, guard().program_id, SPL_2022, Pubkey.default()]
anything = st.builds(
    Instruction,
    st.sampled_from(PROGRAMS),
    st.binary(max_size=12),
    st.lists(st.builds(AccountMeta, st.sampled_from(ADDRESSES), st.just(False), st.booleans()), max_size=6),
)


@given(st.permutations([*GOOD.usual, guard(OURS), guard()]), st.lists(anything, max_size=4), st.randoms())
def test_whatever_is_accepted_moves_the_amount_once_and_nothing_of_ours(usual, more, random):
    instructions = [*usual, *more]
    if random.random() < 0.5:
        random.shuffle(instructions)
    verdict = judged(replace(GOOD, instructions=tuple(instructions)).body())
    if not verdict.is_valid:
        return
    kept = [one for one in instructions if one.program_id != guard().program_id]
    assert kept[2] == GOOD.transfer
    assert {one.program_id for one in kept[3:]} <= {memo("").program_id}
    assert not any(meta.pubkey in {OURS, RETIRED} for one in kept for meta in one.accounts)
    guards = [one for one in instructions if one.program_id == guard().program_id]
    assert all(bytes(one.data)[0] >= 2 for one in guards)
