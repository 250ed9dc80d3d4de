"""What API and worker must agree about in webhooks."""

from pydantic import Field

from runtime.receiver_addresses import ReceiverPolicy
from runtime.settings import DatabaseSettings


class WebhookSettings(DatabaseSettings):
    """Where deliveries are kept, and to which addresses they may go."""

    # Lets webhooks go to private addresses, which production of several merchants must not.
    webhook_private_receivers: bool = Field(False, validation_alias="WEBHOOK_PRIVATE_RECEIVERS")

    @property
    def receiver_policy(self) -> ReceiverPolicy:
        """What is allowed: public addresses alone, in development this machine too, or everything."""
        if self.webhook_private_receivers:
            return ReceiverPolicy.ANY
        return ReceiverPolicy.LOOPBACK_TOO if self.app_env == "development" else ReceiverPolicy.PUBLIC
