"""`pay402 payouts nonce`: from the account's making to a payout that was signed after every blockhash had died."""

import json

import pytest

from tests.support.command_line import pay402
from tests.support.dying_worker import approved_order, paid_once, work_on
from tests.support.job_shop import fast_settings
from worker.context import open_worker_context
from worker.escrow import move_jobs_and_payouts


@pytest.fixture
def command(home, net, database_url, shop):
    async def run(*arguments, stdin=b""):
        variables = {"DATABASE_URL": database_url, "SOLANA_RPC_URL": net.rpc_url}
        wallet = str(shop.wallet.pubkey())
        return await pay402("payouts", *arguments, home=home, stdin=stdin, SETTLEMENT_WALLET=wallet, **variables)

    return run


def key_file(tmp_path, keypair):
    file = tmp_path / f"{keypair.pubkey()}.json"
    file.write_text(json.dumps(list(bytes(keypair))))
    file.chmod(0o600)
    return file


async def test_a_payout_is_signed_days_after_its_export(command, shop, indexer, net, database_url, tmp_path):
    settings = fast_settings(SETTLEMENT_WALLET=str(shop.wallet.pubkey()))
    async with open_worker_context(settings, database_url, [net.rpc_url]) as context:
        order = await approved_order(shop, context)
        await move_jobs_and_payouts(context)
        account = (await command("nonce", "create", "--payer", key_file(tmp_path, shop.client), "--json")).json
        account = account["nonceAccount"]
        assert (await command("nonce", "show", account, "--json")).json["authority"] == str(shop.wallet.pubkey())
        exported = await command("export", "--nonce-account", account)
        assert exported.json["nonce_account"] == account
        shown = await command("nonce", "show", account)
        assert exported.json["payout"] in shown.out
        net.chain.tick(400)
        key = key_file(tmp_path, shop.wallet)
        signed = await command("sign", "--keypair", key, stdin=exported.out.encode())
        assert (await command("import", stdin=signed.out.encode())).json["refusal"] is None
        await work_on(context, order, net)
        await paid_once(shop)
        # What waits no more is not voided, but its account can be advanced all the same.
        net.chain.tick(20)
        void = await command("nonce", "void", account)
        signed = await command("sign", "--keypair", key, stdin=void.out.encode())
        assert account in signed.err
        assert (await command("import", stdin=signed.out.encode())).json["refusal"] is None


async def test_what_is_no_nonce_account_is_refused(command, shop):
    wallet = str(shop.wallet.pubkey())
    (await command("nonce", "show", wallet)).assert_refused("no nonce account")
    (await command("nonce", "void", wallet)).assert_refused("no nonce account")
    (await command("export", "--nonce-account", "nothing")).assert_refused("nothing")
