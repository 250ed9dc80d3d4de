"""Attacks on the pages of the audit: what strangers write, accounts of others, and buttons that are not theirs."""

import pytest
from solders.keypair import Keypair

from ledger.recipients import register_wallet
from tests.support.api_client import key_for
from tests.support.console_browser import signed_in
from tests.support.foreign_markup import PAYLOADS, foreign_parts
from tests.support.ledger_rows import TOKEN_PROGRAM


async def account_of(pool, wallet, mint, **columns):
    """An account in doubt; returns its address."""
    address = str(Keypair().pubkey())
    await pool.execute(
        "INSERT INTO token_accounts (address, recipient, mint, program, drift, gaps, heal_reason, heal_wanted_at)"
        " VALUES ($1, $2, $3, $4, 5, 1, $5, now())",
        address, wallet, mint, TOKEN_PROGRAM, columns.get("heal_reason"),
    )  # fmt: skip
    return address


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_names_of_wallets_tokens_and_users_are_text_in_the_audit(vendor, pool, payload):
    wallet, mint, user = str(Keypair().pubkey()), str(Keypair().pubkey()), f"shop {payload}"
    await register_wallet(pool, address=wallet, user_id=user, label=payload, followed_from_slot=0)
    await pool.execute(
        "INSERT INTO tokens (mint, program, decimals, symbol, network) VALUES ($1, $2, 6, $3, 'devnet')",
        mint, TOKEN_PROGRAM, payload,
    )  # fmt: skip
    # What a node says becomes the reason of a walk that failed.
    account = await account_of(pool, wallet, mint, heal_reason=payload)
    admin = await key_for(pool, "operations", ("read", "admin"))
    for key in (await key_for(pool, user), admin):
        browser = await signed_in(vendor.api, key)
        for path in ("/console/audit", "/console/audit?show=doubt", f"/console/audit/{account}"):
            seen = await browser.get(path)
            assert seen.status == 200
            assert foreign_parts(seen.page) == [[]] * 7
            assert len(seen.page.all("script")) == len(seen.page.all("title")) == 1
            assert "<" not in payload or payload not in seen.body
            assert payload.split()[0] in seen.text or payload in seen.text


async def test_whose_account_it_is_not_sees_nothing_of_it_and_heals_nothing(vendor, pool):
    account = await account_of(pool, vendor.wallet, str(Keypair().pubkey()))
    order = f"/console/audit/{account}?order=backfill-7c9e6679-7425-40de-944b-e07fc1f90ae7"
    rival = await signed_in(vendor.api, await key_for(pool, "rival"))
    assert account not in (await rival.get("/console/audit")).body
    assert (await rival.get(f"/console/audit/{account}")).status == 404
    assert (await rival.get(order)).status == 404
    for permissions, status in ((["read"], 403), (["read", "write"], 403), (["read", "admin"], 303)):
        browser = await signed_in(vendor.api, await key_for(pool, permissions=permissions))
        seen = await browser.get(f"/console/audit/{account}")
        assert seen.status == 200
        forms = [form["action"] for form in seen.page.all("form", method="post")]
        assert (f"/console/audit/{account}/heal" in forms) == (status == 303)
        pressed = await browser.post(f"/console/audit/{account}/heal", {"form_token": await browser.token()})
        assert pressed.status == status
        assert await pool.fetchval("SELECT count(*) FROM backfill_requests") == (status == 303)
    # The operator's own: an order that is none, or one of another kind, shows nothing and breaks nothing.
    assert (await browser.get(order)).status == 200
    await pool.execute("UPDATE backfill_requests SET finished_at = now(), status = 'done'")
    assert (await browser.get(order)).status == 404
    reconciliation = (await vendor.api.holding(await key_for(pool, permissions=["admin"])).post("/ops/reconcile"))[
        "jobId"
    ]
    assert (await browser.get(f"/console/audit/{account}?order={reconciliation}")).status == 200
    for address in ("nonsense", str(Keypair().pubkey()), "%00", vendor.wallet):
        assert (await browser.get(f"/console/audit/{address}")).status == 404, address
        form = {"form_token": await browser.token()}
        assert (await browser.post(f"/console/audit/{address}/heal", form)).status == 404, address
