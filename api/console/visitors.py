"""Who looks at a page: somebody who is signed in and may do what the page is for."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from api.access.caller import Caller
from api.access.callers import Permission, count_request, permitted, signed_in, unauthorized


def signed_in_with(permission: Permission) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: whoever is signed in, with a key that has `permission`. Raises ApiError 401 or 403."""

    async def visitor(request: Request) -> Caller:
        caller = await signed_in(request)
        await count_request(request, caller)
        if caller is None:
            raise unauthorized("You are not signed in, or your session has ended; sign in again.")
        return permitted(caller, permission)

    return visitor


Visitor = Annotated[Caller, Depends(signed_in_with("read"))]
"""What a page asks for that shows something."""

WritingVisitor = Annotated[Caller, Depends(signed_in_with("write"))]
"""What a form asks for that changes something."""

AdminVisitor = Annotated[Caller, Depends(signed_in_with("admin"))]
"""What a form asks for that is for admins."""
