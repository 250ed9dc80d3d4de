"""Random transactions out of real instructions, run on the real programs, against the decoder.

Two independent truths: the movements each action was written to cause, and the balances of the accounts on
the bank before and after.
"""

from collections import Counter, defaultdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.decode import decode
from ledger.observation import Kind
from tests.support.token_economy import FEE_MINT, PROGRAM_OF, PYUSD, SPL, USDC, WSOL, Action, World, expected_fee

WALLET = st.integers(0, 2)
AMOUNT = st.one_of(st.integers(0, 3), st.integers(0, 90_000_000))
SPL_MINT = st.sampled_from([USDC, WSOL])


def _pair():
    return st.tuples(WALLET, WALLET).filter(lambda pair: pair[0] != pair[1])


def _plain():
    return st.builds(
        lambda mint, pair, amount: lambda w: w.transfer(mint, *pair, amount),
        SPL_MINT, st.tuples(WALLET, WALLET), AMOUNT,
    )  # fmt: skip


def _checked(mints):
    return st.builds(
        lambda mint, pair, amount: lambda w: w.transfer_checked(mint, *pair, amount),
        st.sampled_from(mints), _pair(), AMOUNT,
    )  # fmt: skip


def _burn(mints):
    return st.builds(lambda mint, wallet, n: lambda w: w.burn(mint, wallet, n), st.sampled_from(mints), WALLET, AMOUNT)


def _batch():
    parts = st.lists(st.one_of(_plain(), _checked([USDC, WSOL]), _burn([USDC])), min_size=1, max_size=5)
    return parts.map(lambda builds: lambda w: w.in_batch([build(w) for build in builds]))


BUILD = st.one_of(
    _plain(),
    _checked([USDC, WSOL, PYUSD]),
    _batch(),
    _burn([USDC, PYUSD, FEE_MINT]),
    st.builds(lambda pair, n: lambda w: w.transfer_with_fee(*pair, n), st.tuples(WALLET, WALLET), AMOUNT),
    st.builds(
        lambda mint, to, n: lambda w: w.mint(mint, to, n), st.sampled_from([USDC, FEE_MINT]), WALLET, AMOUNT
    ),
    st.builds(lambda pair, n: lambda w: w.wrap(*pair, n), st.tuples(WALLET, WALLET), AMOUNT),
    st.builds(lambda wallet, n: lambda w: w.unwrap(wallet, n), WALLET, AMOUNT),
    st.builds(lambda pair, n: lambda w: w.pay_lamports(*pair, n), _pair(), AMOUNT),
    st.builds(
        lambda mint, pair, n: lambda w: w.through_temporary_account(mint, *pair, n), SPL_MINT, _pair(), AMOUNT
    ),
    st.builds(
        lambda pair, a, b: lambda w: w.wrapped_purse(*pair, max(a, b), min(a, b)), _pair(), AMOUNT, AMOUNT
    ),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    transactions=st.lists(st.lists(BUILD, min_size=1, max_size=4), min_size=1, max_size=4),
    fee_transfer=st.one_of(st.none(), st.tuples(_pair(), AMOUNT)),
    failing=st.booleans(),
)
def test_every_random_transaction_is_decoded_to_the_unit(transactions, fee_transfer, failing):
    world = World()
    accounts = {str(world.account(n, mint)): world.account(n, mint) for n in range(3) for mint in PROGRAM_OF}
    for builds in transactions:
        actions: list[Action] = [build(world) for build in builds]
        if fee_transfer is not None and not any(m.mint == FEE_MINT for a in actions for m in a.moved):
            (source, destination), amount = fee_transfer
            actions.append(world.transfer_checked(FEE_MINT, source, destination, amount))
        if failing:
            actions.append(world.fail(0))
        before = {name: world.balance(key) for name, key in accounts.items()}
        done = world.send(actions)
        after = {name: world.balance(key) for name, key in accounts.items()}

        seen = decode(done.result("base64"))
        assert seen == decode(done.result("json")), "both encodings tell the same"
        assert seen.failed == (done.err is not None)
        if failing:
            assert seen.failed
        if seen.failed:
            assert seen.movements == ()
            assert before == after
            continue

        meant = Counter(moved.key() for action in actions for moved in action.moved)
        decoded = Counter((m.kind, m.mint, m.source, m.destination, m.amount, m.fee) for m in seen.movements)
        assert decoded == meant
        assert seen.unexplained == ()
        assert len({m.path for m in seen.movements}) == len(seen.movements)

        moved = defaultdict(int)
        for m in seen.movements:
            if m.kind is not Kind.NATIVE_TRANSFER:
                moved[m.source] -= m.amount
                moved[m.destination] += m.amount - m.fee
        for name in accounts:
            assert moved[name] == after[name] - before[name]
        for change in seen.balances:
            if change.account in accounts:
                assert (change.pre, change.post) == (before[change.account], after[change.account])


def test_the_fee_of_a_plain_checked_transfer_is_found_from_the_balances():
    world = World()
    done = world.send([world.transfer_checked(FEE_MINT, 0, 1, 12_345)])
    (movement,) = decode(done.result("base64")).movements
    assert (movement.amount, movement.fee) == (12_345, 124)


def test_two_transfers_with_an_unknown_fee_are_reported_until_the_mints_rule_is_known():
    world = World()
    done = world.send(
        [world.transfer_checked(FEE_MINT, 0, 1, 12_345), world.transfer_checked(FEE_MINT, 2, 1, 800_000_000)]
    )
    (finding,) = decode(done.result("base64")).unexplained
    assert finding.account == str(world.account(1, FEE_MINT))
    assert finding.difference == -(124 + 5_000_000)

    rules = {str(FEE_MINT): lambda amount: expected_fee(FEE_MINT, amount)}
    seen = decode(done.result("base64"), fee_rules=rules)
    assert seen.unexplained == ()
    assert [m.fee for m in seen.movements] == [124, 5_000_000]


def test_every_faucet_transaction_of_the_world_is_explained():
    for done in World().executed:
        assert decode(done.result("base64")).unexplained == ()


def test_closing_and_reopening_a_wrapped_account_empties_it():
    world = World()
    account, before = world.account(1, WSOL), world.balance(world.account(1, WSOL))
    done = world.send([world.reopen_wrapped(1, before), world.wrap(0, 1, 77)])
    assert done.err is None
    assert world.balance(account) == 77
    seen = decode(done.result("base64"))
    assert seen.unexplained == ()
    kinds = [(m.kind, m.amount) for m in seen.movements if m.mint == str(WSOL)]
    assert kinds == [(Kind.CLOSE, before), (Kind.WRAP, 77)]
    assert str(SPL) in {m.program for m in seen.movements}
