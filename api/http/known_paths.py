"""Finds a route by its path at once, instead of asking every router in turn whether it has one."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send


class KnownPaths(BaseRoute):
    """The first route of an application: it serves those of `routes` whose paths have no parameters.

    Every other request is left to what stands behind it. Of two routes with one path the first is served, as ever.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._known: dict[tuple[str, str], Route] = {}
        for route in routes:
            if isinstance(route, Route) and not route.param_convertors:
                for method in route.methods or ():
                    self._known.setdefault((method, route.path), route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Find the route of a request; it is left in the scope, as the router leaves it."""
        if scope["type"] != "http" or scope.get("root_path"):
            return Match.NONE, {}
        route = self._known.get((scope["method"], scope["path"]))
        if route is None:
            return Match.NONE, {}
        return Match.FULL, {"route": route, "endpoint": route.endpoint, "path_params": {}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request by the route that was found."""
        await scope["route"].handle(scope, receive, send)
