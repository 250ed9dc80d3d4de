"""Who calls: a user, by one of its keys."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        key_prefix: The name of the key.
        final_only: Finality is demanded of every payment.
        proof_version: The least version of a proof that is accepted.
        valid_until: When the key ends, if that is known; no key made with it may live longer.
        by_token: The key itself was not sent, only an access token that was made with it.
    """

    user_id: str
    permissions: frozenset[str]
    environment: str
    key_prefix: str
    final_only: bool = False
    proof_version: int = 1
    valid_until: dt.datetime | None = None
    by_token: bool = False

    @property
    def is_admin(self) -> bool:
        """True for a caller who may see and do everything."""
        return "admin" in self.permissions

    def sees(self, user_id: str) -> bool:
        """True for what is the caller's own."""
        return self.is_admin or user_id == self.user_id

    def may_hand_out(self, permissions: Iterable[str]) -> bool:
        """True for permissions that the caller has itself; admins have every one."""
        return self.is_admin or self.permissions.issuperset(permissions)
