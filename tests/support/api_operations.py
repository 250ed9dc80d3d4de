"""Every operation of the API: whose it is, what is sent, and what somebody who may do it is answered."""

from solders.keypair import Keypair
from solders.signature import Signature

from tests.support.api_client import proof_of

SECRET = "a-signing-secret-of-enough-characters-for-anybody"
BOOTSTRAP = "a-bootstrap-token-of-enough-characters"
NOBODY = "00000000-0000-0000-0000-000000000000"
PUBLIC = "public"  # no key is needed, and a bad one is refused all the same
ANY = "any"  # whatever the key may do
BUYER = "buyer"  # no key is needed, and one that is sent needs `write`
# Whose each operation is, what is sent, and what somebody who may do it is answered.
OPERATIONS = {
    "GET /": (PUBLIC, None, 200),
    "GET /health": (None, None, 200),
    "GET /ready": (None, None, 200),
    "GET /metrics": (None, None, 200),
    "POST /verify": (BUYER, proof_of(Keypair(), str(Signature.default()), 1), 402),
    "POST /x402/verify": (BUYER, {"x402Version": 2, "paymentPayload": {}, "paymentRequirements": {}}, 200),
    "POST /x402/settle": (BUYER, {"x402Version": 2, "paymentPayload": {}, "paymentRequirements": {}}, 200),
    "GET /x402/payments/{payment_id}": (PUBLIC, None, 404),
    "GET /x402/supported": (PUBLIC, None, 200),
    "POST /payments/requests": ("write", {}, 400),
    "GET /payments/requests": ("read", None, 200),
    "GET /payments/requests/{nonce}": ("read", None, 404),
    "GET /payments": ("read", None, 200),
    "GET /payments/{signature}": ("read", None, 404),
    "GET /recipients": ("read", None, 200),
    "POST /recipients": ("write", {}, 400),
    "DELETE /recipients/{address}": ("write", None, 404),
    "GET /marketplace/services": (PUBLIC, None, 200),
    "POST /marketplace/services": ("write", {}, 400),
    "GET /marketplace/services/{service_id}": (PUBLIC, None, 404),
    "PATCH /marketplace/services/{service_id}": ("write", {}, 404),
    "DELETE /marketplace/services/{service_id}": ("write", None, 404),
    "GET /marketplace/jobs": (PUBLIC, None, 200),
    "POST /marketplace/jobs": ("write", {}, 400),
    "GET /marketplace/jobs/{job_id}": (PUBLIC, None, 404),
    "POST /marketplace/jobs/{job_id}/accept": ("write", None, 404),
    "POST /marketplace/jobs/{job_id}/start": ("write", None, 404),
    "POST /marketplace/jobs/{job_id}/payouts/{payout_id}/redirect": ("write", {}, 400),
    "POST /marketplace/jobs/{job_id}/submit": ("write", {"output": 1}, 404),
    "POST /marketplace/jobs/{job_id}/approve": ("write", None, 404),
    "POST /marketplace/jobs/{job_id}/dispute": ("write", {"reason": "late"}, 404),
    "POST /marketplace/jobs/{job_id}/cancel": ("write", None, 404),
    "POST /marketplace/jobs/{job_id}/resolve": ("admin", {"resolution": "refund"}, 404),
    "POST /marketplace/jobs/{job_id}/rate": ("write", {"score": 5}, 404),
    "GET /marketplace/stats": (PUBLIC, None, 200),
    "GET /marketplace/leaderboard": (PUBLIC, None, 200),
    "POST /marketplace/seed": ("admin", None, 409),
    "GET /analytics/reconciliation/findings": ("read", None, 200),
    "GET /analytics/reconciliation/findings/{finding_id}": ("read", None, 404),
    "POST /analytics/reconciliation/findings/{finding_id}/accept": ("write", {}, 404),
    "POST /analytics/reconciliation/findings/{finding_id}/note": ("write", {"note": "seen"}, 404),
    "POST /analytics/reconciliation/findings/{finding_id}/refund": (
        "write",
        {"signature": str(Signature.default())},
        404,
    ),
    "POST /analytics/reconciliation/findings/{finding_id}/refund/withdraw": (
        "write",
        {"signature": str(Signature.default())},
        404,
    ),
    "GET /events": ("read", None, 200),
    "GET /events/stream": ("read", None, 400),  # asked for from a place that there is not: a stream has no end
    "GET /webhooks": ("read", None, 200),
    "POST /webhooks": ("write", {}, 400),
    "GET /webhooks/{webhook_id}": ("read", None, 404),
    "PATCH /webhooks/{webhook_id}": ("write", {}, 404),
    "DELETE /webhooks/{webhook_id}": ("write", None, 404),
    "POST /webhooks/{webhook_id}/rotate": ("write", None, 404),
    "POST /webhooks/{webhook_id}/test": ("write", None, 404),
    "GET /webhooks/{webhook_id}/deliveries": ("read", None, 404),
    "POST /webhooks/{webhook_id}/deliveries/retry": ("write", {}, 400),
    "POST /webhooks/{webhook_id}/deliveries/{event_id}/retry": ("write", None, 404),
    "GET /analytics": ("read", None, 200),
    "GET /analytics/transactions": ("read", None, 200),
    "GET /analytics/revenue": ("read", None, 200),
    "GET /analytics/top-agents": ("read", None, 200),
    "GET /analytics/events": ("read", None, 200),
    "GET /analytics/reconciliation": ("read", None, 404),
    "POST /api-keys": ("write", {"name": "another", "permissions": ["write"]}, 201),
    "GET /api-keys": ("read", None, 200),
    "DELETE /api-keys/{key_prefix}": ("write", None, 404),
    "POST /api-keys/{key_prefix}/rotate": ("write", None, 404),
    "POST /auth/token": (ANY, {}, 200),
    "POST /ops/backfill": ("admin", {}, 202),
    "POST /ops/reconcile": ("admin", None, 202),
    "GET /ops/jobs/{id}": ("admin", None, 404),
}


def bearing(token):
    return {"authorization": f"Bearer {token}"}


def prefix(key):
    return key[: len("sk_live_") + 10]


def path_of(operation):
    """A path of the operation that names nothing that is there. A stream has no end, so its place is wrong instead."""
    path = operation.split()[1]
    path += "?after=none" if path.endswith("/stream") else ""
    return path.format_map(
        {"job_id": NOBODY, "payout_id": NOBODY, "service_id": NOBODY, "payment_id": NOBODY, "webhook_id": NOBODY}
        | {"event_id": "evt_1", "finding_id": "0" * 32, "nonce": "none", "signature": Signature.default()}
        | {"id": f"backfill-{NOBODY}", "address": Keypair().pubkey(), "key_prefix": "sk_live_none"}
    )
