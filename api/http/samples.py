"""What the examples of the documentation are made of: one sale, a value for each name of a field.

A shop asks 0.01 USDC for a report; a buyer pays it. Nobody holds the keys of these wallets. The signatures that are
sent in requests are real ones: the proofs over their nonce, the registration over its text.
"""

from typing import Any, Final

_UUID: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_BUYER: Final = "6pTJ4rix8DKRefYuVbAyhMH46FF8cYkeewFaxZ7uvivp"
_SHOP: Final = "FZdngZA5qUuty5MsfJQyVS8oaW5VMZmQyoTPvJ9om95v"
_FEE_PAYER: Final = "3xddVoQmcp2MbDufp5Jehqse75ZuaRkYwFhXsTVbHaMT"
_ACCOUNT: Final = "2rzf8W8CPNH2N6xiNDBbnT6PDUr3zxNuUZYWUwCTL7Mw"
_REFERENCE: Final = "38MmJ1uSTP4EyeMYUAXxVU4RYqBBTjN8fYrtuV94kzn2"
_TRANSACTION: Final = "3y3FNCRFHJect6mCqhavMRvAiL7pL84KMfuffTLkeqDysaMFrXCNG3hfzVbDACsNwztkEVaERAE75eQGX9Rge1u6"
_PROOF: Final = "66usWK2Gh9gAEKxGVB5wzWdohkK4DDx33JbmX7ApdJns9X3iGPLJkpxKEVp4dVwqxZ2ZQqvbPNYizfJqmBCDcMtM"
_REGISTRATION: Final = "3adnS54WT7LJMLLhQrc9pEn2ePYCoyCZZsAiTwmDsZatAKUe2se3ByCSzScQDj5oCsJaUjJj7e19d841t93x1etR"
_REDIRECTION: Final = "45hG2kcxcyaK5fwizPugaLqQUA5vRxm79YsgsALtj8LSNY6B18tfv6zTqpJM6zhNi2sMoiJKQNS1Z4RAFD671tFr"
_ACCESS: Final = "eyJhbGciOiJIUzI1NiJ9.….…"
_USDC: Final = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
_USDC_DEVNET: Final = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
_DEVNET: Final = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
_PAYABLE: Final = (
    f"solana:{_SHOP}?amount=0.01&spl-token={_USDC}&reference={_REFERENCE}&label=Daily%20report&memo=order-1042"
)
_REQUIRED: Final = {
    "scheme": "exact",
    "network": _DEVNET,
    "asset": _USDC_DEVNET,
    "amount": "10000",
    "payTo": _SHOP,
    "maxTimeoutSeconds": 60,
    "extra": {"feePayer": _FEE_PAYER},
}
_SIGNED_TRANSACTION: Final = (
    "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACF2ipFThFvijLtRQVVE6+S3qtZ"
    "Wemmoig4E/+xb93Wp1ohtAUZ1jitnw60NXQV1DzhCLY3P7PqHy5FxvLaRzIHgAIBBAgr97w0np2Dt0BtMLm0NjkUhfSa/MluyRjX86Sc8NAH5lZy"
    "drKHnl3dmwce2gORKkEbn5vZwSA4opOggYGTXgC9MhrtZF2NmFbWn95xdpwoFV8poAGTlekA3Yv0ZK6w1kC/ZWfbrqo7yGsntklcYSTIE6jpD2GH"
    "AMBs+g/YIvH9jwMGRm/lIRcy/+ytunLDm+e8jOW7xfcSayxDmzpAAAAABUpTWpkpIQZNJOhxYNo4fHw1td28kruB5B+oQEEFRI0G3fbh12Whk9nL"
    "4UbO63msHLSF7V9bN5E6jPWFfv8AqTtELLORIVfxOpM9ATQoLQMrX/7NAaLb8bd5BgjfAC6nwudH4Strg9ehj3jqqfA9KBXGGvTdDNz45qAenHdp"
    "pKwEBAAFAiBOAAAEAAkDAQAAAAAAAAAGBAMHAgEKDBAnAAAAAAAABgUAIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmAA=="
)
_SERVICE: Final = {
    "name": "Daily report",
    "description": "What moved on chain yesterday, as one page of JSON.",
    "category": "data",
    "pricingModel": "per-request",
    "priceAmount": "0.01",
    "priceCurrency": "USDC",
    "capabilities": ["summaries"],
    "tags": ["solana", "daily"],
    "agentId": "report-agent",
    "payoutAddress": _SHOP,
}

REQUEST_SAMPLES: Final[dict[str, Any]] = {
    "ProofBody": {
        "signature": _PROOF,
        "payer": _BUYER,
        "amount": "0.01",
        "currency": "USDC",
        "nonce": "order-1042",
        "timestamp": 1767225600000,
        "transactionId": _TRANSACTION,
        "recipient": _SHOP,
        "resource": "/reports/daily",
    },
    "RequestOrder": {
        "amount": "0.01",
        "currency": "USDC",
        "recipient": _SHOP,
        "resource": "/reports/daily",
        "expiresIn": 900_000,
        "metadata": {"order": 1042},
    },
    "RecipientOrder": {"address": _SHOP, "label": "API sales", "signature": _REGISTRATION},
    "FacilitatorBody": {
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "payload": {"transaction": _SIGNED_TRANSACTION},
            "accepted": _REQUIRED,
            "resource": {"url": "https://shop.example/reports/daily"},
        },
        "paymentRequirements": _REQUIRED,
    },
    "ServiceOffer": _SERVICE,
    "ServiceChangeBody": {"priceAmount": "0.02", "tags": ["solana", "hourly"]},
    "JobOrder": {"serviceId": _UUID, "input": {"day": "2026-01-01"}, "clientAgentId": "buyer-agent"},
    "Submission": {"output": {"report": "https://shop.example/reports/2026-01-01.json"}},
    "Dispute": {"reason": "The report is about another day."},
    "Resolution": {"resolution": "refund"},
    "Rating": {"score": 5, "feedback": "Quick and complete."},
    "Redirect": {"payoutAddress": _BUYER, "signature": _REDIRECTION},
    "KeyOrder": {"name": "Website", "environment": "live", "permissions": ["read", "write"]},
    "Rotation": {"graceMs": 3_600_000},
    "TokenOrder": {"permissions": ["read"], "expiresIn": 900},
    "WebhookOrder": {
        "url": "https://shop.example/hooks",
        "types": ["request.paid", "payment.reversed"],
        "description": "Orders",
    },
    "WebhookChange": {"status": "active", "types": ["request.paid"]},
    "RangeOrder": {"from": "evt_42", "to": "evt_97"},
    "BackfillOrder": {"recipient": _SHOP, "fromSlot": 390_000_000, "toSlot": 390_010_000},
    "Acceptance": {"note": "Agreed with the payer."},
    "Note": {"note": "Asked the payer what it was for."},
    "Refund": {"signature": _REDIRECTION, "note": "Given back from the shop's wallet."},
    "NoFields": {},
}
"""What is sent, by the name of the model that reads it."""

FIELD_SAMPLES: Final[dict[str, Any]] = {
    # The key and the secret are nobody's: what is secret in them is nothing but zeros.
    "account": _ACCOUNT, "active": True, "address": _SHOP,
    "advice": "Ask the payer what it was for, and give it back or accept it.", "agentId": "buyer-agent",
    "agentName": "buyer-agent", "amount": "0.01", "amountBaseUnits": "10000", "answerMs": 48, "answerStart": "ok",
    "answerStatus": 200, "apiKey": "sk_live_5f0c2a9d1b" + "0" * 64, "at": 1767225600000, "auditedSlot": 390_000_000,
    "capabilities": ["summaries"], "category": "data", "claimId": _UUID, "clientAgentId": "buyer-agent", "code": None,
    "computeUnitPriceMaxMicrolamports": 5_000_000, "computeUnitsMax": 40_000, "consequence": None,
    "console": "/console", "currency": "USDC", "current": "0031", "cursor": "evt_42",
    "data": {"amountBaseUnits": "10000", "mint": _USDC}, "date": "2026-01-01", "decidedBy": "shop",
    "description": "What moved on chain yesterday, as one page of JSON.", "disabledReason": None,
    "disputeReason": None, "docs": "/docs", "drift": 0, "driftBaseUnits": "0", "endTime": 1767312000000,
    "environment": "live", "error": None, "errorMessage": None, "errorReason": None, "escrowAddress": _SHOP,
    "escrowTransactionId": _TRANSACTION, "eventId": "evt_42", "expectedBaseUnits": "10000",
    "expiresAt": 1767226500000, "expiresIn": 900, "extensions": ["payment-identifier"], "failingSince": None,
    "feeBaseUnits": "0", "feePayer": _FEE_PAYER, "feedback": None, "followedFromSlot": 389_990_000, "gaps": 0,
    "graceEndsAt": None, "head": "0031", "health": "/health", "heartbeatAgeSeconds": 1, "id": _UUID,
    "input": {"day": "2026-01-01"}, "invalidMessage": None, "invalidReason": None, "isActive": True, "isValid": True,
    "jobId": _UUID, "keyPrefix": "sk_live_5f0c2a9d1b", "kind": "transfer", "label": "API sales",
    "lastValidBlockHeight": 368_000_000, "limit": 50, "meaning": "A payment came in that nobody has claimed.",
    "memos": ["order-1042"], "message": "Done.", "metadata": {"order": 1042}, "mint": _USDC,
    "missingTokenAccounts": ["PYUSD"], "name": "Daily report", "network": _DEVNET, "nextCursor": None,
    "nextTryAt": None, "nonce": "order-1042", "offset": 0, "openapi": "/openapi.json",
    "output": {"report": "https://shop.example/reports/2026-01-01.json"}, "path": "2", "payer": _BUYER,
    "paymentAmount": "0.01", "paymentCurrency": "USDC", "paymentId": _UUID, "payoutAddress": _SHOP, "payoutId": _UUID,
    "period": "day", "permissions": ["read", "write"], "priceAmount": "0.01", "priceCurrency": "USDC",
    "priceMint": _USDC, "providerAgentId": "report-agent",
    "publicKey": "whpk_EsgXrIt2hrVDYNEXJ65PGcHKTlKkYzOCZ7lhuExj9MM=", "rating": "4.9", "reason": None,
    "receivedBaseUnits": "10000", "recipient": _SHOP, "reference": _REFERENCE, "refundEffect": None,
    "refundSignature": _REDIRECTION, "withdrawnAt": None, "withdrawnBy": None,
    "reliability": 1, "replacedKeyGoodUntil": 1767229200000, "replacedKeyPrefix": "sk_live_0c2a9d1b5f",
    "requestId": "0f8fad5bd9cb469f", "resolution": None, "resource": "/reports/daily",
    "routes": ["/analytics/transactions", "/analytics/revenue"], "scheme": "exact", "score": None,
    "secret": "whsec_" + "0" * 43 + "=", "service": "402pay-facilitator", "serviceId": _UUID,
    "serviceName": "Daily report", "signature": _TRANSACTION, "signers": {"solana:*": [_FEE_PAYER]},
    "slot": 390_000_123, "solanaPayUrl": _PAYABLE, "startTime": 1767225600000, "status": "confirmed",
    "subject": "order-1042", "success": True, "successRate": 1, "tags": ["solana", "daily"],
    "timestamp": 1767225600000, "token": _ACCESS, "transaction": _TRANSACTION,
    "transactionCount": 1, "transactionId": _TRANSACTION, "type": "request.paid", "types": ["request.paid"],
    "url": "https://shop.example/hooks", "userId": "shop", "version": "0.1.0",
    "warning": "The old key is refused from 2026-01-01T01:00:00+00:00 on; replace it before.", "x402Version": 2,
}  # fmt: skip
"""What is answered, by the name of a field."""

MODEL_SAMPLES: Final[dict[str, dict[str, Any]]] = {
    "Health": {"environment": "production"},
    "SettleAnswer": {"amount": "10000"},
    "EchoedProof": {"signature": _PROOF},
    "HonouredTransaction": {"finality": "finalized"},
    "TakingClaimBody": {"id": _UUID},
    "KeyMade": {"name": "Website", "message": "Store this key now; it is not shown again.", "expiresAt": None},
    "KeyRotated": {"name": "Website", "message": "Store this key now; it is not shown again.", "expiresAt": None},
    "KeyListed": {"name": "Website", "expiresAt": None},
    "KeyRevoked": {"message": "The key is revoked."},
    "DecisionBody": {"note": "Agreed with the payer."},
    "FindingsPage": {"counts": {"unmatchedTransfer": {"found": 1, "open": 1}}},
    "MovementBody": {"payoutId": None, "way": "in", "status": "received", "reason": "funding"},
    "RecentJobBody": {"status": "approved", "escrowStatus": "released"},
    "RedirectBody": {"status": "waiting", "payoutId": _UUID, "kind": "release"},
    "AccountInDoubt": {"reason": "balance"},
    "WebhookBody": {"description": "Orders"},
    "WebhookMade": {"description": "Orders", "message": "Store this secret now; it is not shown again."},
    "WebhookRotated": {"description": "Orders", "message": "Store this secret now; it is not shown again."},
    "DeliveryBody": {"status": "delivered", "tries": 1},
    "api__events__bodies__EventBody": {"id": "evt_42"},
    "api__analytics__bodies__EventBody": {"id": 42, "type": "claim.confirmed"},
    "ReportFinding": {"kind": "unmatched", "nonce": None, "claimId": None, "expectedBaseUnits": None},
    "OtherCredit": {"kind": "mint"},
    "Leader": {"agentId": "report-agent"},
    "ServiceBody": {"agentId": "report-agent"},
    "ServiceDetail": {"agentId": "report-agent"},
    "JobState": {"kind": "backfill", "state": "done"},
    "PaymentPage": {"nextCursor": None},
}
"""What differs in a model from what its fields are answered with elsewhere."""
