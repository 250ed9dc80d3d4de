"""Claims: the only place where one comes to be, is given its transfer, or moves from one status to another.

Import from here. Every function takes a database connection or pool. Each write is one statement with its event in
it, and moves a status only from where it is believed to stand: whoever comes second changes nothing.
"""

from ledger.claims.context import ClaimContext, ClaimKey, Known, RequestedTerms, Use, read_contexts
from ledger.claims.followed import Followed, follow_transfers
from ledger.claims.honoured import Honoured, Terms, honour, honour_asked, honour_pending, mark_answered
from ledger.claims.matched import Match, claim_strays, free_nonces, honour_matches
from ledger.claims.pending import record_pending, settle_pending
from ledger.claims.settled import claim_settled

__all__ = [
    "ClaimContext",
    "ClaimKey",
    "Followed",
    "Honoured",
    "Known",
    "Match",
    "RequestedTerms",
    "Terms",
    "Use",
    "claim_settled",
    "claim_strays",
    "follow_transfers",
    "free_nonces",
    "honour",
    "honour_asked",
    "honour_matches",
    "honour_pending",
    "mark_answered",
    "read_contexts",
    "record_pending",
    "settle_pending",
]
