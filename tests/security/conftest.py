"""The merchant of the API's tests, here to be attacked."""

from tests.support.fixtures.merchants import vendor

__all__ = ["vendor"]
