"""The merchant of the API's tests, here to be attacked."""

from tests.support.fixtures.merchants import till

__all__ = ["till"]
