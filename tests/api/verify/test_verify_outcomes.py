"""POST /verify over a real chain: every way to pay, every way not to have paid."""

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token import instructions as spl
from spl.token.models import ApproveParams, TransferParams

from chain.decode import decode
from chain.programs import TOKEN_PROGRAM
from ledger.tokens import NATIVE_SOL, WRAPPED_SOL_MINT
from localnet import payments as pay
from localnet.genesis import FEE_MINT
from localnet.payments import USDC, Payment
from tests.support import handwritten_transactions as handwritten
from tests.support.api_client import key_for, pay_usdc, proof_of
from tests.support.ledger_checks import eventually, follow
from tests.support.ledger_rows import book

SPL = Pubkey.from_string(TOKEN_PROGRAM)


async def test_every_way_to_pay_is_honoured_once_and_for_what_was_credited(merchant, market, net, indexer, pool):
    payer, shop = market.payers[0], market.recipients[0]
    who, to = payer.pubkey(), shop.pubkey()
    table = market._tables[to]
    # A mint can be named once the ledger has met it.
    meeting = proof_of(
        payer, await market.pay(pay.with_fee(who, to, 100, stated=True), payer), 0.000099, mint=str(FEE_MINT)
    )

    async def is_known():
        return (await merchant.verify({**meeting, "currency": None})).status != 400

    await eventually(is_known)
    # Each with the figure claimed, and what is credited in base units.
    ways = [
        (pay.plain(who, to, 290_000), 0.29, {}, 290_000),
        (pay.checked(who, to, 290_001, Keypair().pubkey(), "order 7"), "0.290001", {}, 290_001),
        (pay.batched(who, [to], 300_000), 0.3, {}, 300_000),
        (pay.looked_up(who, to, 310_000, table), 0.31, {}, 310_000),
        (pay.with_fee(who, to, 1_000_000, stated=True), 0.99, {"mint": str(FEE_MINT)}, 990_000),
        (pay.with_fee(who, to, 2_000_000, stated=False), 1.98, {"mint": str(FEE_MINT)}, 1_980_000),
        (pay.wrapped_sol(who, to, 20_000_000), 0.02, {"currency": "SOL"}, 20_000_000),
        (pay.wrapped_sol(who, to, 21_000_000), 0.021, {"mint": WRAPPED_SOL_MINT}, 21_000_000),
        (pay.native_sol(who, to, 30_000_000), 0.03, {"currency": "SOL"}, 30_000_000),
        (pay.new_account(who, to, 320_000), 0.32, {"currency": "USDT"}, 320_000),
    ]
    for payment, amount, token, credited in ways:
        transaction = await market.pay(payment, payer)
        fields = {"currency": None, **token} if "mint" in token else token
        proof = proof_of(payer, transaction, amount, **fields)
        reply = await merchant.verify(proof)
        assert reply.code == "VALID", (payment.kind, reply.text)
        assert reply["transaction"]["receivedBaseUnits"] == str(credited), payment.kind
        assert reply["transaction"]["recipient"] == str(to)
        assert (await merchant.verify(proof)).code == "REPLAY_ATTACK", payment.kind
        # Two base units more than was credited are not paid; one could be a client's rounding.
        other = await market.pay(payment, payer)
        more = f"{float(amount) + 0.000002:.6f}"
        assert (await merchant.verify(proof_of(payer, other, more, **fields))).code == "INSUFFICIENT_AMOUNT"


async def test_native_sol_is_not_wrapped_sol_where_a_mint_is_named(merchant, market, indexer):
    payer = market.payers[0]
    transaction = await market.pay(pay.native_sol(payer.pubkey(), market.recipients[0].pubkey(), 30_000_000), payer)
    wrapped = proof_of(payer, transaction, 0.03, currency=None, mint=WRAPPED_SOL_MINT)
    assert (await merchant.verify(wrapped)).code == "CURRENCY_MISMATCH"
    assert (await merchant.verify({**wrapped, "mint": NATIVE_SOL})).code == "VALID"


async def test_a_transfer_hidden_in_an_inner_instruction_is_honoured(merchant, market, indexer, pool):
    """A program that moves its customer's tokens, as most do on mainnet; written by hand, for LiteSVM has none."""
    payer, shop = market.payers[0], market.recipients[0]
    result = (
        handwritten.Handwritten()
        .account("source", "usdc", 1_000, 750, owner="buyer")
        .account("vendor", "usdc", 0, 250, owner="shop")
        .calls(handwritten.transfer("source", "vendor", 250, owner="buyer"))
        .result()
    )
    (moved,) = decode(result).transfers
    assert (moved.path, moved.source_owner, moved.authority) == (
        "0.0",
        handwritten.address("buyer"),
        handwritten.address("buyer"),
    )
    assert (moved.destination_owner, moved.amount) == (handwritten.address("shop"), 250)
    transaction = await book(pool, payer.pubkey(), shop.pubkey(), moved.amount, path=moved.path)
    reply = await merchant.verify(proof_of(payer, transaction, "0.00025"))
    assert reply.code == "VALID"
    assert reply["transaction"]["path"] == "0.0"


async def test_money_that_a_program_brings_home_is_nobodys_payment(merchant, market, indexer):
    """The one inner transfer that LiteSVM's programs make: from an account that belongs to the shop's own account."""
    payer, shop = market.payers[0], market.recipients[0]
    transaction = await market.pay(pay.inner(payer, shop, 250_000), payer)
    assert (await merchant.verify(proof_of(payer, transaction, 0.25))).code == "PAYER_MISMATCH"


async def test_two_jobs_paid_in_one_transaction_are_two_claims_and_no_third(merchant, market, indexer):
    """Three transfers to the shop, two of them equal."""
    payer, shop = market.payers[0], market.recipients[0]
    transaction = await market.pay(pay.several(payer.pubkey(), [shop.pubkey()], 7_000), payer)
    paths = set()
    for amount in ("0.007", "0.007", "0.007001"):
        reply = await merchant.verify(proof_of(payer, transaction, amount))
        assert reply.code == "VALID", reply.text
        paths.add(reply["transaction"]["path"])
    assert len(paths) == 3
    assert (await merchant.verify(proof_of(payer, transaction, 0.007))).code == "REPLAY_ATTACK"
    assert (await merchant.verify(proof_of(payer, transaction, 0.009))).code == "INSUFFICIENT_AMOUNT"


async def test_parts_of_one_batch_are_payments_of_their_own(merchant, market, indexer):
    payer, shop = market.payers[0], market.recipients[0]
    transaction = await market.pay(pay.batched(payer.pubkey(), [shop.pubkey(), shop.pubkey()], 5_000), payer)
    first = await merchant.verify(proof_of(payer, transaction, "0.005"))
    second = await merchant.verify(proof_of(payer, transaction, "0.005001"))
    assert [first["transaction"]["path"], second["transaction"]["path"]] == ["0.0", "0.1"]
    assert (await merchant.verify(proof_of(payer, transaction, "0.005"))).code == "REPLAY_ATTACK"


async def test_what_a_delegate_pays_is_claimed_by_either_of_the_two(merchant, market, indexer):
    owner, delegate = market.payers
    shop = market.recipients[0]
    source = pay.token_account(owner.pubkey(), USDC)
    approve = spl.approve(
        ApproveParams(program_id=SPL, source=source, delegate=delegate.pubkey(), owner=owner.pubkey(), amount=50_000)
    )

    def transfer(amount):
        return spl.transfer(
            TransferParams(
                program_id=SPL,
                source=source,
                dest=pay.token_account(shop.pubkey(), USDC),
                owner=delegate.pubkey(),
                amount=amount,
            )
        )

    await market.pay(Payment("approval", [approve], []), owner)
    await market.settled()
    for claimant, amount in ((owner, 10_000), (delegate, 10_001)):
        transaction = await market.pay(Payment("by a delegate", [transfer(amount)], []), delegate)
        assert (await merchant.verify(proof_of(claimant, transaction, 0.01))).code == "VALID"
        assert (await merchant.verify(proof_of(owner, transaction, 0.01))).code == "REPLAY_ATTACK"
        assert (await merchant.verify(proof_of(delegate, transaction, 0.01))).code == "REPLAY_ATTACK"


async def test_every_way_not_to_have_paid_has_its_answer(api, merchant, market, indexer, pool):
    payer, stranger = market.payers
    shop, other_shop = (recipient.pubkey() for recipient in market.recipients)
    await pool.execute("UPDATE recipients SET user_id = 'rival' WHERE address = $1", str(other_shop))
    rival = api.holding(await key_for(pool, "rival"))
    good = await market.pay(pay.plain(payer.pubkey(), shop, 10_000), payer)
    elsewhere = await market.pay(pay.plain(payer.pubkey(), other_shop, 10_000), payer)
    in_usdt = await market.pay(pay.new_account(payer.pubkey(), shop, 10_000), payer)
    less = await market.pay(pay.plain(payer.pubkey(), shop, 9_999), payer)
    failed = await market.pay(pay.failing(payer.pubkey(), shop, 10_000), payer)
    unknown_wallet = await market.pay(pay.new_account(payer.pubkey(), Keypair().pubkey(), 10_000), payer)
    refused = {
        "PAYER_MISMATCH": proof_of(stranger, good, 0.01),
        "RECIPIENT_MISMATCH": proof_of(payer, elsewhere, 0.01),
        "CURRENCY_MISMATCH": proof_of(payer, in_usdt, 0.01),
        "INSUFFICIENT_AMOUNT": proof_of(payer, less, 0.01),
        "TRANSACTION_FAILED": proof_of(payer, failed, 0.01),
        "INVALID_SIGNATURE": {**proof_of(payer, good, 0.01), "signature": proof_of(stranger, good, 1)["signature"]},
        "RECIPIENT_NOT_FOLLOWED": proof_of(payer, good, 0.01, recipient=str(Keypair().pubkey())),
    }
    for code, proof in refused.items():
        reply = await merchant.verify(proof)
        assert (reply.status, reply.code) == (402, code), reply.text
        assert (reply["valid"], reply["verified"]) == (False, False)
        assert reply["error"] == reply["message"]
        # None of them uses the nonce up.
        assert await pool.fetchval("SELECT count(*) FROM transactions WHERE nonce = $1", proof["nonce"]) == 0
    # The node says at once that it pays nobody who is followed.
    assert (await merchant.verify(proof_of(payer, unknown_wallet, 0.01, currency="USDT"))).code == "RECIPIENT_MISMATCH"
    assert (await rival.verify(proof_of(payer, good, 0.01))).code == "RECIPIENT_MISMATCH"
    assert (await merchant.verify(proof_of(payer, elsewhere, 0.01, recipient=str(other_shop)))).code == (
        "RECIPIENT_MISMATCH"
    )
    # After all of that the payment is still good, once.
    proof = proof_of(payer, good, 0.01)
    assert (await merchant.verify(proof)).code == "VALID"
    assert (await merchant.verify(proof)).code == "REPLAY_ATTACK"
    assert (await rival.verify(proof_of(payer, elsewhere, 0.01))).code == "VALID"


async def test_a_payment_that_is_not_indexed_yet_is_answered_within_the_wait(merchant, market, net, indexer):
    net.set_faults({"notificationsLate": {"rate": 1, "amount": 0.8, "methods": ["logsNotification"]}})
    transaction, payer = await pay_usdc(market, 10_000)
    assert (await merchant.verify(proof_of(payer, transaction, 0.01))).code == "VALID"
    assert net.hazard.struck > 0


async def test_a_payment_is_final_before_it_is_honoured_where_that_is_asked(api, pool, market, indexer):
    """A policy of the key."""
    careful = api.holding(await key_for(pool, final_only=True))
    transaction, payer = await pay_usdc(market, 10_000)
    proof = proof_of(payer, transaction, 0.01)
    codes = []

    async def honoured():
        reply = await careful.verify(proof)
        codes.append(reply.code)
        if reply.code == "NOT_FINALIZED":
            assert reply.status == 402
            assert int(reply.headers["Retry-After"]) >= 1
        return reply if reply.code == "VALID" else None

    reply = await eventually(honoured)
    assert set(codes[:-1]) == {"NOT_FINALIZED"}
    assert (reply["transaction"]["status"], reply["transaction"]["finality"]) == ("confirmed", "finalized")


async def test_a_wallet_registered_while_the_api_runs_is_honoured(merchant, market, indexer, pool):
    fresh = Keypair()
    await follow(pool, fresh.pubkey())
    payer = market.payers[0]
    transaction = await market.pay(pay.new_account(payer.pubkey(), fresh.pubkey(), 10_000), payer)
    proof = proof_of(payer, transaction, 0.01, currency="USDT")

    async def honoured():
        return (await merchant.verify(proof)).code == "VALID"

    await eventually(honoured)
