"""Listeners of a LogsFeed that remember what they were told."""

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from solders.keypair import Keypair

from chain.pubsub import FeedLimits, LogsFeed

QUICK = FeedLimits(silence_seconds=0.4, connect_seconds=0.5)
PATIENT = FeedLimits(silence_seconds=15.0, connect_seconds=5.0)


@dataclass
class RecordingListener:
    """A listener that remembers, in order."""

    notes: list[tuple] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)

    def notified(self, account, signature, slot, *, failed):
        self.notes.append((account, signature, slot, failed))

    def subscribed(self, account, slot):
        self.begun.append((account, slot))

    def disconnected(self, endpoint, reason):
        self.ended.append((endpoint, reason))

    def times(self):
        """How often each account was told to be watched."""
        return Counter(account for account, _ in self.begun)

    def heard(self, account):
        return [signature for reported, signature, *_ in self.notes if reported == account]


@asynccontextmanager
async def feeding(urls, accounts=(), limits=PATIENT):
    """A feed of `accounts`, with what it told."""
    listener = RecordingListener()
    async with LogsFeed([urls] if isinstance(urls, str) else urls, listener, limits) as feed:
        for account in accounts:
            feed.follow(account)
        yield feed, listener


def names(count):
    return [str(Keypair().pubkey()) for _ in range(count)]
