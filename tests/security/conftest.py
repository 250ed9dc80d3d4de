"""The merchant of the API's tests, here to be attacked."""

from tests.api.conftest import till

__all__ = ["till"]
