"""Token-2022: fees that no instruction tells, fees paid out, confidential amounts, and what stays unexplained."""

import pytest
from solders.keypair import Keypair
from spl.token.instructions import create_idempotent_associated_token_account, get_associated_token_address

from chain.decode import decode
from ledger.observation import Kind
from localnet.genesis import FAUCET
from tests.support import raw_instructions as raw
from tests.support.handwritten_transactions import (
    Call,
    Handwritten,
    address,
    close,
    findings,
    initialize,
    moves,
    name_of,
    sync,
    token,
    transfer,
    transfer_checked,
    transfer_with_fee,
    u64,
    withdraw_withheld,
)
from tests.support.token_economy import FEE_MINT, PYUSD, SPL_2022, World, expected_fee

A_TENTH = {address("gold"): lambda amount: -(-amount // 10)}


@pytest.fixture
def world():
    return World()


def sheet(**ends) -> Handwritten:
    """Token-2022 accounts of one mint with their balances as (before, after)."""
    written = Handwritten()
    for name, (pre, post) in ends.items():
        written.account(name, "gold", pre, post, program="2022")
    return written


def fees(seen):
    return [(m.amount, m.fee) for m in seen.transfers]


# --- on the bank


def test_the_source_loses_the_amount_and_the_destination_gains_it_less_the_fee(world):
    done = world.send([world.transfer_checked(FEE_MINT, 0, 1, 12_345)])
    seen = decode(done.result("base64"))
    assert fees(seen) == [(12_345, 124)]
    assert [change.post - change.pre for change in sorted(seen.balances, key=lambda c: c.post)] == [-12_345, 12_221]


def test_a_stated_fee_is_not_withheld_from_a_transfer_to_itself(world):
    done = world.send([world.transfer_with_fee(1, 1, 800), world.transfer_checked(FEE_MINT, 2, 2, 700)])
    assert done.err is None
    seen = decode(done.result("base64"))
    assert fees(seen) == [(800, 0), (700, 0)]
    assert seen.unexplained == ()


def test_a_transfer_to_itself_does_not_hide_the_fee_of_another(world):
    done = world.send([world.transfer_checked(FEE_MINT, 1, 1, 700), world.transfer_checked(FEE_MINT, 0, 1, 800)])
    seen = decode(done.result("base64"))
    assert (fees(seen), seen.unexplained) == ([(700, 0), (800, 8)], ())


def test_fees_are_found_along_a_chain_of_transfers(world):
    done = world.send(
        [
            world.transfer_checked(FEE_MINT, 0, 1, 50_000),
            world.transfer_checked(FEE_MINT, 1, 2, 30_000),
            world.transfer_with_fee(2, 0, 10_001),
        ]
    )
    seen = decode(done.result("base64"))
    assert fees(seen) == [(50_000, 500), (30_000, 300), (10_001, 101)]
    assert seen.unexplained == ()


def test_several_transfers_without_any_fee_need_no_rule(world):
    done = world.send([world.transfer_checked(PYUSD, 0, 2, 50), world.transfer_checked(PYUSD, 1, 2, 70)])
    seen = decode(done.result("base64"))
    assert (fees(seen), seen.unexplained) == ([(50, 0), (70, 0)], ())


def test_transfers_of_nothing_beside_one_with_a_fee_do_not_hide_it(world):
    done = world.send([world.transfer_checked(FEE_MINT, 0, 2, 0), world.transfer_checked(FEE_MINT, 1, 2, 70)])
    seen = decode(done.result("base64"))
    assert (fees(seen), seen.unexplained) == ([(0, 0), (70, 1)], ())


def test_stated_fees_beside_one_that_is_not_stated(world):
    done = world.send([world.transfer_with_fee(0, 2, 500), world.transfer_checked(FEE_MINT, 1, 2, 70)])
    seen = decode(done.result("base64"))
    assert (fees(seen), seen.unexplained) == ([(500, 5), (70, 1)], ())


def test_the_fee_of_a_temporary_account_is_what_it_could_not_pass_on(world):
    payer, stranger = world.wallets[0].pubkey(), Keypair()
    temporary = get_associated_token_address(stranger.pubkey(), FEE_MINT, SPL_2022)
    there = raw.transfer_checked_2022(world.account(0, FEE_MINT), FEE_MINT, temporary, payer, 1_000)
    on = raw.transfer_checked_2022(temporary, FEE_MINT, world.account(1, FEE_MINT), stranger.pubkey(), 990)
    done = world.run(
        create_idempotent_associated_token_account(payer, stranger.pubkey(), FEE_MINT, SPL_2022),
        there,
        on,
        raw.harvest_to_mint(FEE_MINT, temporary),
        raw.close(temporary, payer, stranger.pubkey(), SPL_2022),
        signers=[stranger],
    )
    seen = decode(done.result("base64"))
    assert fees(seen) == [(1_000, 10), (990, 10)]
    assert seen.unexplained == ()
    assert str(temporary) not in {change.account for change in seen.balances}


def test_harvested_fees_change_no_balance_and_withdrawn_ones_are_found(world):
    world.send([world.transfer_checked(FEE_MINT, 0, 1, 10_000), world.transfer_checked(FEE_MINT, 0, 2, 20_000)])
    one, two = world.account(1, FEE_MINT), world.account(2, FEE_MINT)
    harvest = decode(world.run(raw.harvest_to_mint(FEE_MINT, one)).result("base64"))
    assert (harvest.movements, harvest.unexplained) == ((), ())
    target = world.account(0, FEE_MINT)
    from_mint = world.run(raw.withdraw_withheld_from_mint(FEE_MINT, target, FAUCET.pubkey()), signers=[FAUCET])
    from_account = world.run(
        raw.withdraw_withheld_from_accounts(FEE_MINT, target, FAUCET.pubkey(), two), signers=[FAUCET]
    )
    for done, amount in ((from_mint, 100), (from_account, 200)):
        seen = decode(done.result("base64"))
        (movement,) = seen.movements
        assert (movement.kind, movement.amount, movement.destination) == (Kind.WITHDRAW_WITHHELD, amount, str(target))
        assert movement.source is None
        assert movement.authority == str(FAUCET.pubkey())
        assert seen.unexplained == ()


def test_fees_withheld_and_paid_out_on_one_account_need_the_mints_rule(world):
    target = world.account(1, FEE_MINT)
    payout = raw.withdraw_withheld_from_accounts(FEE_MINT, target, FAUCET.pubkey(), target)
    transfer_in = world.transfer_checked(FEE_MINT, 0, 1, 10_000).instructions
    done = world.run(*transfer_in, payout, signers=[FAUCET])
    (finding,) = decode(done.result("base64")).unexplained
    assert (finding.difference, finding.reason) == (0, "fees withheld and fees paid out, both unknown")
    seen = decode(done.result("base64"), fee_rules={str(FEE_MINT): lambda amount: expected_fee(FEE_MINT, amount)})
    assert seen.unexplained == ()
    assert [(m.kind, m.amount, m.fee) for m in seen.movements] == [
        (Kind.TRANSFER_CHECKED, 10_000, 100),
        (Kind.WITHDRAW_WITHHELD, 100, 0),
    ]


def test_an_account_given_away_in_between_belongs_to_each_owner_in_turn(world):
    payer, fresh, heir = world.wallets[0].pubkey(), Keypair(), world.wallets[1].pubkey()
    account = fresh.pubkey()
    there = raw.transfer_checked_2022(world.account(0, PYUSD), PYUSD, account, payer, 30)
    back = raw.transfer_checked_2022(account, PYUSD, world.account(2, PYUSD), heir, 20)
    done = world.run(
        raw.create_account(payer, account, 5_000_000, space=178, owner=SPL_2022),
        raw.initialize(account, PYUSD, payer, SPL_2022),
        there,
        raw.set_owner(account, payer, heir, SPL_2022),
        back,
        signers=[fresh],
    )
    seen = decode(done.result("base64"))
    assert [(m.source_owner, m.destination_owner) for m in seen.movements] == [
        (str(payer), str(payer)),
        (str(heir), str(world.wallets[2].pubkey())),
    ]
    assert seen.unexplained == ()


# --- handwritten


def test_the_balance_knows_better_than_a_rule_that_has_changed():
    written = sheet(a=(1_000, 900), b=(0, 93)).does(transfer_checked("a", "gold", "b", 100))
    seen = written.decoded(fee_rules=A_TENTH)
    assert (fees(seen), findings(seen)) == ([(100, 7)], [])


def test_a_rule_that_does_not_add_up_is_not_used():
    written = sheet(a=(1_000, 800), b=(0, 185))
    written.does(transfer_checked("a", "gold", "b", 120)).does(transfer_checked("a", "gold", "b", 80))
    seen = written.decoded(fee_rules=A_TENTH)
    assert fees(seen) == [(120, 0), (80, 0)]
    assert findings(seen) == [("b", -15, "several transfers with an unknown fee")]
    written.tokens["b"].post = 180
    seen = written.decoded(fee_rules=A_TENTH)
    assert (fees(seen), findings(seen)) == ([(120, 12), (80, 8)], [])


def test_a_fee_is_never_more_than_the_transfer_nor_less_than_nothing():
    lost = sheet(a=(1_000, 900), b=(50, 40)).does(transfer_checked("a", "gold", "b", 100))
    assert findings(lost.decoded()) == [("b", -110, "no instruction shows it")]
    gained = sheet(a=(1_000, 900), b=(0, 101)).does(transfer_checked("a", "gold", "b", 100))
    assert findings(gained.decoded()) == [("b", 1, "no instruction shows it")]
    for written in (lost, gained):
        assert fees(written.decoded()) == [(100, 0)]


def test_a_fee_does_not_absorb_what_an_unknown_instruction_did():
    written = sheet(a=(1_000, 900), b=(0, 93)).does(transfer_checked("a", "gold", "b", 100))
    seen = written.does(token("2022", b"\xc8", "b")).decoded()
    assert fees(seen) == [(100, 0)]
    assert findings(seen) == [("b", -7, "an instruction that is not known here: c8")]


def test_plain_transfers_withhold_nothing():
    written = sheet(a=(1_000, 900), b=(0, 93)).does(transfer("a", "b", 100, program="2022"))
    assert findings(written.decoded()) == [("b", -7, "no instruction shows it")]


def test_the_older_program_withholds_nothing():
    written = Handwritten().account("a", "gold", 1_000, 900).account("b", "gold", 0, 93)
    written.does(transfer_checked("a", "gold", "b", 100, program="spl"))
    assert findings(written.decoded()) == [("b", -7, "no instruction shows it")]


def test_two_payouts_to_one_account_are_not_kept_apart():
    written = sheet(a=(0, 30)).does(withdraw_withheld("gold", "a", "b")).does(withdraw_withheld("gold", "a", "c"))
    assert findings(written.decoded()) == [("a", 30, "no instruction shows it")]
    assert written.decoded().movements == ()


def test_a_payout_to_a_temporary_account_is_what_it_passed_on():
    written = sheet(b=(0, 30)).does(initialize("temporary", "gold", "payer", "2022"))
    written.does(withdraw_withheld("gold", "temporary", "c")).does(transfer("temporary", "b", 30, program="2022"))
    seen = written.does(close("temporary", "payer", program="2022")).decoded()
    assert moves(seen) == [
        ("1", "withdrawWithheld", None, "temporary", 30),
        ("2", "transfer", "temporary", "b", 30),
    ]
    assert findings(seen) == []


def test_a_transfer_hook_runs_after_its_transfer_and_its_extra_accounts_are_shown():
    hook = Call("hook", ("a", "gold", "b", "owner", "validation"), b"\x69\x25\x65\xc5\x4b\xfb\x66\x1a" + u64(40))
    written = sheet(a=(100, 60), b=(0, 39)).account("fees", "wsol", 0, 5).account("purse", "wsol", 5, 0)
    written.references = ("validation", "hook")
    written.does(transfer_checked("a", "gold", "b", 40, "hook", "validation"), hook, transfer("purse", "fees", 5))
    seen = written.decoded()
    assert moves(seen) == [
        ("0", "transferChecked", "a", "b", 40),
        ("0.1", "transfer", "purse", "fees", 5),
    ]
    assert (fees(seen)[0], findings(seen)) == ((40, 1), [])
    # A node cannot tell them from a payment's reference keys; nobody guesses those, so that they match no request.
    assert tuple(map(name_of, seen.references)) == ("hook", "validation")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x1b\x07" + bytes(40), "confidential amounts"),
        (b"\x25\x01" + bytes(40), "confidential amounts"),
        (b"\x2a\x03" + bytes(40), "confidential amounts"),
        (b"\x1b\x05" + u64(30) + b"\x06", "a deposit into its confidential balance"),
        (b"\x1b\x06" + u64(30) + b"\x06", "a withdrawal from its confidential balance"),
        (b"\x2e\x03" + bytes(40), "an instruction that is not known here: 2e03"),
        (b"\x1a\x09" + bytes(40), "an instruction that is not known here: 1a09"),
    ],
    ids=lambda value: value[:2].hex() if isinstance(value, bytes) else "",
)
def test_confidential_amounts_and_newer_extensions_are_recorded_as_unexplained(data, reason):
    """No kind of movement says that tokens left a balance for a part of the same account that nobody can read."""
    written = sheet(a=(100, 70), b=(5, 5)).does(token("2022", data, "a", "gold", "owner"))
    seen = written.decoded()
    assert findings(seen) == [("a", -30, reason)]
    assert [(name_of(c.account), c.pre, c.post) for c in seen.balances] == [("a", 100, 70), ("b", 5, 5)]


@pytest.mark.parametrize("data", [b"\x1b\x07", b"\x1b\x08", b"\x2a\x00"], ids=["transfer", "apply", "initialize"])
def test_confidential_instructions_that_leave_the_open_balance_alone_are_no_finding(data):
    written = sheet(a=(100, 95), b=(0, 5)).does(token("2022", data, "a", "gold", "b", "owner"))
    assert findings(written.does(transfer("a", "b", 5, program="2022")).decoded()) == []


def test_sync_of_a_token_2022_account_that_is_no_wrapped_sol_explains_nothing():
    assert findings(sheet(a=(5, 8)).does(sync("a", "2022")).decoded()) == [("a", 3, "no instruction shows it")]


def test_stated_fees_are_taken_as_they_are():
    written = sheet(a=(100, 60), b=(0, 38)).does(transfer_with_fee("a", "gold", "b", 40, 2))
    assert (fees(written.decoded()), findings(written.decoded())) == ([(40, 2)], [])
    written.tokens["b"].post = 39
    assert findings(written.decoded()) == [("b", 1, "no instruction shows it")]
