"""The API keeps to the budget of the nodes that it asks."""

from api.main import open_rooms
from api.metrics import ApiMetrics
from api.settings import ApiSettings
from runtime.metrics import new_registry

NO_NODE = "http://127.0.0.1:1"


async def test_each_node_is_asked_no_more_often_than_it_allows(database_url, redis_url):
    settings = ApiSettings(SOLANA_RPC_REQUESTS_PER_SECOND=10)
    async with open_rooms(settings, ApiMetrics(new_registry()), database_url, redis_url, [NO_NODE]) as rooms:
        (endpoint,) = rooms.payments.node.pool.endpoints
        of_one_method, of_all = endpoint.budgets("getTransaction")
        assert (of_one_method.max_rate, of_all.max_rate, of_all.time_period) == (4.0, 10.0, 1.0)
