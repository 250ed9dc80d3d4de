"""The published Python packages of x402, unmodified, buy through this facilitator with a wallet that holds no SOL."""

from tests.clients.conftest import PROGRAMS


async def test_what_the_published_client_builds_is_valid_in_both_versions(clients, parties):
    buyer = clients.keypair_file(parties.buyer)
    verdicts = await clients.run(PROGRAMS / "verify_payment.py", buyer, parties.shop)
    valid = {"isValid": True, "payer": str(parties.buyer.pubkey())}
    assert verdicts == {"1": valid, "2": valid}
