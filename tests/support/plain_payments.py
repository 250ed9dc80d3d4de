"""Payments of the plainest kind, and what the ledger logs of each transfer."""

from localnet import payments as pay


async def one_event_each(pool, kind):
    """Every transfer has exactly one event of a kind; asked in one statement, for more may be on their way."""
    return await pool.fetchval(
        """
        SELECT bool_and(logged = 1) FROM (
          SELECT t.signature, t.path, count(e.id) AS logged
          FROM transfers AS t
          LEFT JOIN events AS e ON e.subject = t.signature AND e.type = $1 AND e.data ->> 'path' = t.path
          GROUP BY t.signature, t.path
        ) AS each_transfer
        """,
        kind,
    )


async def plain(market, amount, recipient=None):
    payer = market.payers[0]
    to = recipient or market.recipients[0].pubkey()
    return await market.pay(pay.plain(payer.pubkey(), to, amount), payer)
