"""What cannot be had for free or at another's cost: an agent's name, a price in nothing, a payout into nowhere."""

from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain.addresses import INCINERATOR
from chain.node import Node
from chain.programs import SYSTEM_PROGRAM, TOKEN_PROGRAM
from chain.rpc import RpcPool
from ledger.payout_redirects import apply_redirects, ask_redirect, find_payout, redirect_text
from localnet.payments import USDC, token_account
from tests.support.api_client import key_for, running_api
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import NO_NODE, Vendor, new_signature
from tests.support.service_offer import OFFER

SERVICES, JOBS = "/marketplace/services", "/marketplace/jobs"


@pytest.fixture
async def stall(database_url, redis_url, pool, net):
    """A marketplace with a provider of one wallet, over a chain."""
    wallet = str(Keypair().pubkey())
    async with running_api(database_url, redis_url, [net.rpc_url], SETTLEMENT_WALLET=wallet) as client:
        await Vendor(client, pool, user="marketplace", wallet=wallet).open()
        yield await Vendor(client, pool, user="provider").open()


async def user(stall, name, permissions=("read", "write")):
    return stall.api.holding(await key_for(stall.pool, name, permissions))


async def test_an_agent_belongs_to_the_user_who_used_its_id_first(stall):
    thief = await user(stall, "thief")
    await Vendor(stall.api, stall.pool, user="thief").open()
    offered = await stall.client.post(SERVICES, {**OFFER, "agentId": "famous"})
    assert offered.status == 201
    order = {"serviceId": offered["id"], "clientAgentId": "buyer"}
    assert (await stall.client.post(JOBS, order)).status == 201
    for refused in (
        await thief.post(SERVICES, {**OFFER, "agentId": "famous"}),
        await thief.post(f"{SERVICES}?agentId=famous", OFFER),
        await thief.post(SERVICES, {**OFFER, "agentId": "buyer"}),
        # A user's own name is theirs before they use it.
        await thief.post(SERVICES, {**OFFER, "agentId": "provider"}),
        await thief.post(JOBS, {**order, "clientAgentId": "famous"}),
        await thief.post(JOBS, order),
        await thief.post(JOBS, {**order, "clientAgentId": "provider"}),
    ):
        assert (refused.status, refused.code) == (403, "FORBIDDEN"), refused.text
    assert await stall.pool.fetchval("SELECT count(*) FROM job_requests") == 1
    assert await stall.pool.fetchval("SELECT count(*) FROM nonces") == 1
    for again in (
        await stall.client.post(SERVICES, {**OFFER, "agentId": "famous"}),
        await stall.client.post(JOBS, order),
        await thief.post(SERVICES, OFFER),
        await thief.post(JOBS, {"serviceId": offered["id"]}),
    ):
        assert again.status == 201, again.text


async def test_an_id_that_was_not_used_after_all_stays_free(stall):
    assert (await stall.client.post(SERVICES, {**OFFER, "agentId": "free", "priceAmount": 0})).status == 400
    assert await stall.pool.fetchval("SELECT count(*) FROM agent_ids") == 0


async def test_prices_are_in_the_currencies_of_the_marketplace(stall, database_url, redis_url):
    worthless = str(Keypair().pubkey())
    await stall.pool.execute(
        "INSERT INTO tokens (mint, symbol, decimals, program, network) VALUES ($1, 'MINE', 6, $2, 'devnet')",
        worthless, TOKEN_PROGRAM,
    )  # fmt: skip
    service = (await stall.client.post(SERVICES, OFFER)).body
    for currency in ("MINE", worthless, "mine"):
        for refused in (
            await stall.client.post(SERVICES, {**OFFER, "priceCurrency": currency}),
            await stall.client.call("PATCH", f"{SERVICES}/{service['id']}", {"priceCurrency": currency}),
        ):
            assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), currency
    # What was offered in another currency before is not sold any more, and stands on no board.
    await stall.pool.execute("UPDATE agent_services SET price_mint = $1, price_currency = 'MINE'", worthless)
    assert (await stall.client.post(JOBS, {"serviceId": service["id"]})).status == 409
    assert (await stall.api.get("/marketplace/leaderboard"))["leaderboard"] == []
    assert (await stall.api.get("/marketplace/stats"))["totalServices"] == 0
    settings = {"SETTLEMENT_WALLET": stall.wallet, "MARKETPLACE_CURRENCIES": "usdc, mine"}
    async with running_api(database_url, redis_url, [NO_NODE], **settings) as other:
        assert len((await other.get("/marketplace/leaderboard"))["leaderboard"]) == 1


async def test_nothing_is_paid_out_to_what_nobody_can_sign_for(stall, net):
    admin = await user(stall, "operations", ("admin", "read", "write"))
    owner = Keypair().pubkey()
    async with RpcPool([net.rpc_url]) as rpc:
        await rpc.call("localnet_fundToken", [str(owner), str(USDC), 5], Any)

        async def is_there():
            return (await Node(rpc).account(str(token_account(owner, USDC))))[1] is not None

        await eventually(is_there)
    vault, _ = Pubkey.find_program_address([b"vault"], Pubkey.from_string(TOKEN_PROGRAM))
    service = (await stall.client.post(SERVICES, OFFER)).body
    for address, what in (
        (str(token_account(owner, USDC)), "a token account"),
        (str(USDC), "a mint"),
        (TOKEN_PROGRAM, "a program"),
        (INCINERATOR, "the incinerator"),
        (str(vault), "a program's address"),
    ):
        offer = {**OFFER, "payoutAddress": address}
        for refused in (
            await stall.client.post(SERVICES, offer),
            await stall.client.post(SERVICES, {**OFFER, "agentId": address}),
            await stall.client.call("PATCH", f"{SERVICES}/{service['id']}", {"payoutAddress": address}),
        ):
            assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), what
            assert what in refused["error"], refused["error"]
        # A multisig's vault can be paid where somebody who knows says so.
        assert (await admin.post(SERVICES, offer)).status == (201 if address == str(vault) else 400)
    fresh = str(Keypair().pubkey())
    changed = await stall.client.call("PATCH", f"{SERVICES}/{service['id']}", {"payoutAddress": fresh})
    assert (changed.status, changed["payoutAddress"]) == (200, fresh)


async def test_without_a_node_no_new_payout_address_is_taken(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        vendor = await Vendor(api, pool, user="provider").open()
        assert (await vendor.client.post(SERVICES, {**OFFER, "payoutAddress": vendor.wallet})).status == 201
        away = await vendor.client.post(SERVICES, {**OFFER, "payoutAddress": str(Keypair().pubkey())})
        assert (away.status, away.code) == (503, "UNAVAILABLE")
        assert await pool.fetchval("SELECT count(*) FROM agent_services") == 1


async def test_nothing_is_released_to_the_wallet_that_pays(stall):
    wallet = await stall.pool.fetchval("SELECT address FROM recipients WHERE user_id = 'marketplace'")
    admin = await user(stall, "operations", ("admin",))
    service = (await stall.client.post(SERVICES, OFFER)).body
    for who in (stall.client, admin):
        refused = await who.post(SERVICES, {**OFFER, "payoutAddress": wallet})
        assert (refused.status, refused.code) == (400, "VALIDATION_ERROR")
        assert "wallet that pays" in refused["error"]
    changed = await stall.client.call("PATCH", f"{SERVICES}/{service['id']}", {"payoutAddress": wallet})
    assert changed.status == 400
    # Whoever owns the settlement wallet has no other, and has to name one.
    of_marketplace = stall.api.holding(await key_for(stall.pool, "marketplace"))
    assert (await of_marketplace.post(SERVICES, OFFER)).status == 409


@pytest.fixture
async def payouts(stall):
    """A release to a mint and a refund to a payer, both waiting, of a job of the provider for a client."""
    payer = Keypair()
    client = await user(stall, "client")
    service = (await stall.client.post(SERVICES, OFFER)).body
    job = (await client.post(JOBS, {"serviceId": service["id"]})).body
    made = {}
    for kind, part, recipient in (("release", "escrow", str(USDC)), ("refund", "rest", str(payer.pubkey()))):
        claim = await stall.pool.fetchval(
            "INSERT INTO transactions"
            " (user_id, nonce, signature, payer, recipient, currency, amount, least_amount, received, mint, status)"
            " VALUES ('marketplace', $1, $2, $3, $5, 'USDC', 5, 5, 5, $4, 'pending') RETURNING id",
            kind, new_signature(), str(payer.pubkey()), str(USDC), stall.wallet,
        )  # fmt: skip
        await stall.pool.execute(
            "INSERT INTO job_fundings (claim_id, job_id, escrowed, rest, rest_reason) VALUES ($1, $2, $3, $4, $5)",
            claim, job["id"], 5 if part == "escrow" else 0, 5 if part == "rest" else 0,
            "excess" if part == "rest" else None,
        )  # fmt: skip
        made[kind] = await stall.pool.fetchval(
            "INSERT INTO payouts (job_id, claim_id, part, kind, reason, wallet, recipient, mint, amount, reference)"
            " VALUES ($1, $2, $3, $4, 'x', $5, $6, $7, 5, $8) RETURNING id",
            job["id"], claim, part, kind, stall.wallet, recipient, str(USDC), str(Keypair().pubkey()),
        )  # fmt: skip
    await stall.pool.execute("UPDATE payouts SET status = 'waiting', waiting_reason = 'destination_unusable'")
    return job, made, payer, client


async def test_a_payout_that_waits_is_redirected_by_its_payee_or_an_operator(stall, payouts):
    job, made, payer, client = payouts
    admin, stranger = await user(stall, "operations", ("admin",)), await user(stall, "stranger")
    wallet = str(Keypair().pubkey())

    async def ask(who, kind, address=wallet, **more):
        return await who.post(f"{JOBS}/{job['id']}/payouts/{made[kind]}/redirect", {"payoutAddress": address, **more})

    shown = {one["way"]: one for one in (await stall.api.get(f"{JOBS}/{job['id']}"))["money"] if one["payoutId"]}
    assert {kind: one["payoutId"] for kind, one in shown.items()} == {
        kind: str(payout) for kind, payout in made.items()
    }
    signature = str(payer.sign_message(redirect_text(made["refund"], wallet).encode()))
    for refused in (
        await ask(stranger, "release"),
        await ask(client, "release"),
        await ask(client, "refund"),
        await ask(stall.client, "refund"),
        await ask(client, "refund", str(Keypair().pubkey()), signature=signature),
        await ask(client, "release", signature=signature),
        await ask(client, "refund", signature=str(Keypair().sign_message(b"x"))),
    ):
        assert (refused.status, refused.code) == (403, "FORBIDDEN"), refused.text
    assert (await ask(stall.api, "release")).status == 401
    for nowhere in (str(USDC), SYSTEM_PROGRAM, INCINERATOR, stall.wallet):
        assert (await ask(admin, "release", nowhere)).status == 400, nowhere
    assert await stall.pool.fetchval("SELECT count(*) FROM payout_redirects") == 0
    asked = await ask(stall.client, "release")
    assert (asked.status, asked["payoutAddress"], asked["recipient"]) == (202, wallet, str(USDC))
    assert (await ask(stall.client, "release", str(Keypair().pubkey()))).status == 409
    assert (await ask(stranger, "refund", signature=signature)).status == 202
    types = await stall.pool.fetch("SELECT user_id FROM events WHERE type = 'payout.redirect_asked' ORDER BY id")
    assert [row["user_id"] for row in types] == ["provider", "stranger"]
    # Nothing that may be on its way is sent elsewhere.
    await stall.pool.execute("UPDATE payouts SET status = 'queued', waiting_reason = NULL")
    await stall.pool.execute("UPDATE payouts SET status = 'signed'")
    late = await ask(admin, "release", str(Keypair().pubkey()))
    assert (late.status, late.code) == (409, "CONFLICT")
    assert (
        await admin.post(f"{JOBS}/{job['id']}/payouts/{job['id']}/redirect", {"payoutAddress": wallet})
    ).status == 404


async def test_a_wish_that_was_written_for_a_former_recipient_ends(stall, payouts):
    """Two requests have read the payout, and the second one's wish comes when the first one's was granted already."""
    _, made, _, _ = payouts
    job = await stall.pool.fetchval("SELECT job_id FROM payouts LIMIT 1")
    first, second, third = (str(Keypair().pubkey()) for _ in range(3))
    read = await find_payout(stall.pool, job, made["release"])
    assert await ask_redirect(stall.pool, read, first, asked_by="provider")
    assert await apply_redirects(stall.pool) == 1
    assert not await ask_redirect(stall.pool, read, second, asked_by="provider")
    # As it can be written in the same moment.
    await stall.pool.execute(
        "INSERT INTO payout_redirects (payout_id, from_recipient, to_recipient, asked_by)"
        " VALUES ($1, $2, $3, 'provider')",
        made["release"], str(USDC), second,
    )  # fmt: skip
    assert await apply_redirects(stall.pool) == 0
    asked = await stall.client.post(f"{JOBS}/{job}/payouts/{made['release']}/redirect", {"payoutAddress": third})
    assert asked.status == 202, asked.text
    assert await apply_redirects(stall.pool) == 1
    wishes = await stall.pool.fetch("SELECT to_recipient, outcome FROM payout_redirects ORDER BY asked_at")
    assert [tuple(wish) for wish in wishes] == [(first, "applied"), (second, "too_late"), (third, "applied")]


async def test_what_redirects_a_payout_proves_no_payment(stall, payouts):
    _, made, _, _ = payouts
    text = redirect_text(made["refund"], str(Keypair().pubkey()))
    proof = stall.proof(await stall.paid(), nonce=text)
    assert (await stall.client.verify(proof)).code == "VALIDATION_ERROR"
