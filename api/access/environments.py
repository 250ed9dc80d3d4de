"""What a key of one environment may do: the one place that says it.

A key sees whatever is its user's. A live key changes all of that. A test key is kept less carefully, so it changes
only what belongs to tests: it takes no payment to a live wallet, and no step in a job that is live. What belongs to no
environment, as the ledger as a whole, counts as live.

The demo key is a test key that works in development alone. It takes payments to live wallets and orders live services
all the same, for there `pay402 recipients add` and `pay402 seed` make them.
"""

from typing import Literal

from api.access.caller import Caller
from api.access.key_ring import DEMO_KEYS
from api.http.errors import ApiError, forbidden

Environment = Literal["live", "test"]


def check_may_change(caller: Caller, environment: str | None, what: str) -> None:
    """Refuse a test key that would change something live; `None` is what belongs to no environment.

    Args:
        caller: Who asks.
        environment: To which one the thing belongs.
        what: The thing, as the first words of a sentence.

    Raises:
        ApiError: 403.
    """
    if caller.environment != "live" and environment != "test":
        raise live_to_a_test_key(what)


def check_may_trade(caller: Caller, environment: str, what: str) -> None:
    """Refuse a test key that would take a payment to a live wallet, or order a live service. Raises ApiError 403."""
    if not may_trade(caller, environment):
        raise live_to_a_test_key(what)


def may_trade(caller: Caller, environment: str) -> bool:
    """True where payments to wallets, and orders of services, of `environment` are the caller's to make."""
    return environment in {"test", environment_of_payments(caller)}


def environment_of_payments(caller: Caller) -> Environment:
    """To which environment the caller's payment requests and claims belong."""
    return "live" if caller.environment == "live" or caller.key_prefix in DEMO_KEYS else "test"


def live_to_a_test_key(what: str) -> ApiError:
    """403: `what`, the first words of a sentence, is live, and the key is a test key."""
    return forbidden(f"{what} is live, and a test key changes nothing that is live; use a live key.")
