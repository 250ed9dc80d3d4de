"""A service as its provider offers it."""

OFFER = {
    "name": "Summaries",
    "description": "Summarises anything in three paragraphs.",
    "category": "ai",
    "pricingModel": "per-request",
    "priceAmount": 2.5,
    "priceCurrency": "USDC",
    "capabilities": ["summarize"],
    "tags": ["text"],
}
