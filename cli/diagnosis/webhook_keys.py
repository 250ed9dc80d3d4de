"""What webhooks are signed with: sealed, by a key that is set."""

from collections.abc import Iterator, Sequence
from typing import Final

from cli.diagnosis.diagnoses import Diagnosis, bad, doubtful, good
from runtime.webhook_seal import WebhookSeal

_PART: Final = "webhooks"
_CHECK: Final = "keys"


def examine(sealed: Sequence[tuple[str | None, int]], seal: WebhookSeal, *, production: bool) -> Iterator[Diagnosis]:
    """A diagnosis about each seal that `sealed` counts keys for; none where there are no webhooks.

    Args:
        sealed: Names of seals, `None` for no seal, and how many keys each of them seals.
        seal: What WEBHOOK_KEY says.
        production: Whether keys must be sealed.
    """
    for name, count in sealed:
        if name is None:
            if production:
                remedy = "start the worker with WEBHOOK_KEY set; it seals them within a minute"
                yield doubtful(_PART, _CHECK, f"{count} lie in the database as they are", remedy)
        elif name not in seal.names:
            detail = f"{count} are sealed by a key ({name}) that WEBHOOK_KEY lacks: nothing is sent to their webhooks"
            yield bad(
                _PART, _CHECK, detail, "add it behind the newest in WEBHOOK_KEY; if it is lost, rotate the webhooks"
            )
        elif name != seal.newest:
            remedy = "keep that key in WEBHOOK_KEY until the worker has sealed them anew, within a minute"
            yield doubtful(_PART, _CHECK, f"{count} are sealed by an older key", remedy)
        else:
            yield good(_PART, _CHECK, f"{count} are sealed by the newest key")
