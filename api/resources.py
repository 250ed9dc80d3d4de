"""What rooms without a context of their own still share; it goes when the last of them has one."""

from dataclasses import dataclass
from typing import Any

import asyncpg
from fastapi import Request

from api.settings import ApiSettings
from api.tokens import TokenBook


@dataclass(frozen=True, slots=True)
class Resources:
    """The parts, open and working."""

    settings: ApiSettings
    database: asyncpg.Pool
    queries: Any
    tokens: TokenBook


def resources(request: Request) -> Resources:
    """The resources of the process that serves `request`."""
    found: Resources = request.app.state.resources
    return found
