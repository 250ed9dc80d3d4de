"""The marketplace as pages: whose jobs they are, where their money is, and sending what waits to another wallet."""

import re

import pytest
from solders.keypair import Keypair

from ledger.recipients import register_wallet
from tests.support.api_client import key_for
from tests.support.console_browser import signed_in
from tests.support.funded_jobs import ordered_job, paid_by_hand, waiting_payout

HERE = "/console/jobs"
ATTACK = "<script>document.title='owned'</script>"


def rows_of(seen):
    return re.findall(r'data-row="([^"]+)"', seen.body)


@pytest.fixture
def browser_of(api, pool):
    """Signs a user in, with a key that may read and write, or as told."""

    async def signed(user, permissions=("read", "write")):
        return await signed_in(api, await key_for(pool, user, permissions))

    return signed


@pytest.fixture
async def admin_browser(browser_of):
    return await browser_of("operations", ("read", "write", "admin"))


@pytest.fixture
async def wallet(pool):
    """The settlement wallet."""
    address = str(Keypair().pubkey())
    await register_wallet(pool, address=address, user_id="operations", label=None, followed_from_slot=0)
    return address


async def test_pages_without_jobs_say_what_to_do(browser_of, admin_browser):
    browser = await browser_of("client")
    assert "No job was ordered yet" in (await browser.get(HERE)).text
    assert "No job of yours is disputed" in (await browser.get(f"{HERE}?status=disputed")).text
    assert "No payout waits" in (await admin_browser.get("/console/payouts")).text
    assert (await browser.get("/console/payouts")).status == 403
    assert (await browser.get(f"{HERE}?status=nonsense")).status == 400


async def test_what_can_be_paid_twice_turns_the_light_of_operators(pool, wallet, browser_of, admin_browser):
    payout = await waiting_payout(pool, await ordered_job(pool, wallet))
    assert "seems to be paid" not in (await admin_browser.get("/console")).text
    await paid_by_hand(pool, payout, account := str(Keypair().pubkey()))
    for path in ("/console", "/console/audit"):
        seen = (await admin_browser.get(path)).text
        assert f"The payout {payout} seems to be paid" in seen
        assert f"pay402 payouts nonce void {account}" in seen
        assert "seems to be paid" not in (await (await browser_of("client")).get(path)).text


async def test_a_job_shows_its_money_its_parties_and_what_happened(pool, wallet, browser_of, admin_browser):
    job = await ordered_job(pool, wallet, order={"text": ATTACK})
    await waiting_payout(pool, job)
    for browser in (await browser_of("client"), await browser_of("provider"), admin_browser):
        listed = await browser.get(HERE)
        assert rows_of(listed) == [str(job)]
        seen = await browser.get(f"{HERE}/{job}")
        for text in ("Summaries", "2.5", "held", "client agent", "provider agent", "24 Dec 2026, 18:00:00 UTC",
                     "waiting", "insufficient funds", "Ordered", "A payout waits", ATTACK):  # fmt: skip
            assert text in seen.text, text
        assert ATTACK not in seen.body
    payouts = await admin_browser.get("/console/payouts")
    assert "insufficient funds" in payouts.text
    assert rows_of(await admin_browser.get("/console/payouts?standing=settled")) == []


async def test_the_pages_together_are_all_jobs_of_a_user(pool, wallet, browser_of, admin_browser):
    mine = [str(await ordered_job(pool, wallet)) for _ in range(60)]
    own = str(await ordered_job(pool, wallet, client="client", provider="client"))
    await ordered_job(pool, wallet, client="another", provider="another")
    for browser, wanted in ((await browser_of("client"), [*mine, own]), (await browser_of("provider"), mine)):
        path, listed = HERE, []
        while path:
            seen = await browser.get(path)
            listed += rows_of(seen)
            (older,) = seen.page.all("a", rel="next") or [{"href": None}]
            path = older["href"]
        assert listed == wanted[::-1]
    assert len(rows_of(await admin_browser.get(HERE))) == 50
    assert (await admin_browser.get(f"{HERE}?cursor=nonsense")).status == 400


async def test_what_waits_is_sent_elsewhere_by_whoever_may(pool, wallet, browser_of, admin_browser):
    job = await ordered_job(pool, wallet)
    payout = await waiting_payout(pool, job)
    address = f"{HERE}/{job}/payouts/{payout}/redirect"
    to = str(Keypair().pubkey())
    form = {"wallet": to, "confirmed": "yes"}
    provider, client = await browser_of("provider"), await browser_of("client")
    reader, rival = await browser_of("provider", ("read",)), await browser_of("rival")
    assert address not in (await reader.get(f"{HERE}/{job}")).body
    # The client of a release needs its recipient's signature.
    for browser, status in ((reader, 403), (rival, 404), (client, 403)):
        refused = await browser.post(address, {**form, "form_token": await browser.token()})
        assert refused.status == status
    token = await provider.token()
    unsure = await provider.post(address, {"wallet": to, "form_token": token})
    assert unsure.status == 400
    assert "Confirm that the money may go" in unsure.text
    wrong = await provider.post(address, {**form, "wallet": "1" * 20, "form_token": token})
    assert wrong.status == 400
    assert await pool.fetchval("SELECT count(*) FROM payout_redirects") == 0
    done = await provider.post(address, {**form, "form_token": token})
    assert (done.status, done.location) == (303, f"{HERE}/{job}")
    assert to in (await admin_browser.get(f"{HERE}/{job}")).text
    again = await admin_browser.post(address, {**form, "form_token": await admin_browser.token()})
    assert again.status == 409
    assert await pool.fetchval("SELECT array_agg(to_recipient::text) FROM payout_redirects") == [to]


async def test_whose_job_it_is_not_sees_nothing_of_it(pool, wallet, browser_of):
    job = await ordered_job(pool, wallet)
    rival = await browser_of("rival")
    assert rows_of(await rival.get(HERE)) == []
    for path in (f"{HERE}/{job}", f"{HERE}/nonsense", f"{HERE}/00000000-0000-0000-0000-000000000000"):
        assert (await rival.get(path)).status == 404, path
