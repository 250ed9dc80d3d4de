"""Examples of services for an empty marketplace. Seeding again adds nothing and changes nothing."""

from dataclasses import dataclass
from typing import Final

from ledger.agent_ids import take_agent_id
from ledger.services import NewService, Price, add_example
from ledger.sql import Database

SEED_USER: Final = "marketplace-examples"


@dataclass(frozen=True, slots=True)
class Example:
    """A service to show; its price is in millionths of a USDC."""

    name: str
    agent: str
    category: str
    pricing_model: str
    price: int
    description: str
    capabilities: tuple[str, ...]
    tags: tuple[str, ...]


EXAMPLES: Final = (
    Example(
        "Text summaries", "agent-summaries", "ai", "per-request", 10_000,
        "Summarises a document of up to 50 pages in three paragraphs.",
        ("summarize",), ("text", "documents"),
    ),
    Example(
        "Product pictures", "agent-pictures", "ai", "per-request", 50_000,
        "Draws a product picture from a description, on a plain background.",
        ("generate-image",), ("images", "shops"),
    ),
    Example(
        "Price feed of spare parts", "agent-prices", "data", "per-request", 5_000,
        "Today's prices of a spare part at twelve wholesalers, as JSON.",
        ("lookup", "compare"), ("prices", "json"),
    ),
    Example(
        "Review of a pull request", "agent-review", "development", "fixed", 2_000_000,
        "Reads a change of up to 500 lines and names defects, with a test for each.",
        ("review", "write-tests"), ("code", "quality"),
    ),
    Example(
        "Invoices to ledger", "agent-invoices", "automation", "per-request", 20_000,
        "Reads an invoice and answers its lines as double entries.",
        ("extract", "classify"), ("accounting", "pdf"),
    ),
    Example(
        "Weekly traffic report", "agent-reports", "analytics", "fixed", 1_500_000,
        "Explains what changed in a web shop's traffic this week, and why.",
        ("report", "chart"), ("traffic", "shops"),
    ),
)  # fmt: skip


async def seed(database: Database, *, mint: str, currency: str, payout_address: str) -> int:
    """Offer the examples that are not there yet; returns how many."""
    added = 0
    for example in EXAMPLES:
        offer = NewService(
            user_id=SEED_USER,
            environment="live",
            agent_id=example.agent,
            payout_address=payout_address,
            name=example.name,
            description=example.description,
            category=example.category,
            pricing_model=example.pricing_model,
            price=Price(example.price, mint, currency),
            capabilities=list(example.capabilities),
            tags=list(example.tags),
        )
        # An id that a user has taken meanwhile stays theirs.
        if await take_agent_id(database, example.agent, SEED_USER):
            added += await add_example(database, example.agent, offer)
    return added
