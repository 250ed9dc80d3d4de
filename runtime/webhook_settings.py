"""What API and worker must agree about in webhooks."""

from typing import Annotated, Final

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from runtime.receiver_policy import ReceiverPolicy
from runtime.settings import IN_PRODUCTION, DatabaseSettings
from runtime.webhook_seal import WebhookSeal

_KEY_CHARACTERS_MIN: Final = 32
_KEYS_MAX: Final = 8


class WebhookSettings(DatabaseSettings):
    """Where deliveries are kept, how their keys are sealed, and to which addresses they may go."""

    # Lets webhooks go to private addresses, which production of several merchants must not.
    webhook_private_receivers: bool = Field(False, validation_alias="WEBHOOK_PRIVATE_RECEIVERS")
    # Seals what deliveries are signed with: one text, or several, comma-separated, newest first; the older ones open
    # what is not sealed anew yet. Unset, which production refuses, the database holds it as it is.
    webhook_key: Annotated[SecretStr | None, IN_PRODUCTION] = Field(None, validation_alias="WEBHOOK_KEY")

    @field_validator("webhook_key")
    @classmethod
    def _can_seal(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        texts = _texts(value)
        if value is not None and not 1 <= len(texts) <= _KEYS_MAX:
            raise ValueError(f"it must hold 1 to {_KEYS_MAX} keys, separated by commas")
        if info.data.get("app_env") == "production" and any(len(text) < _KEY_CHARACTERS_MIN for text in texts):
            raise ValueError(
                f"each key in it must have at least {_KEY_CHARACTERS_MIN} characters, as `openssl rand -hex 32` makes"
            )
        return value

    @property
    def receiver_policy(self) -> ReceiverPolicy:
        """What is allowed: public addresses alone, in development this machine too, or everything."""
        if self.webhook_private_receivers:
            return ReceiverPolicy.ANY
        return ReceiverPolicy.LOOPBACK_TOO if self.app_env == "development" else ReceiverPolicy.PUBLIC

    @property
    def webhook_seal(self) -> WebhookSeal:
        """What seals and opens the keys of webhooks."""
        return WebhookSeal(_texts(self.webhook_key))


def _texts(value: SecretStr | None) -> list[str]:
    return [text for part in (value.get_secret_value() if value else "").split(",") if (text := part.strip())]
