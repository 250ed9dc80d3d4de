"""A database that is read-only for a while, as one is whose primary has gone elsewhere."""

from contextlib import asynccontextmanager


@asynccontextmanager
async def read_only(pool):
    """Whoever connects meanwhile may only read, and stays so: a server that was failed over changes no session back.

    `pool` is the test's own; its sessions can write all the while.
    """
    name = await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        yield
    finally:
        async with pool.acquire() as connection:
            await connection.execute("BEGIN READ WRITE")
            await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            await connection.execute("COMMIT")


async def cut_off(pool, application):
    """End the sessions of a process, as a server that fails over does; it opens others."""
    await pool.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE $1",
        f"pay402-{application}%",
    )


async def reconnected(pool, size):
    """Make `pool` open `size` connections anew, as a pool does whose server restarted."""
    await pool.expire_connections()
    held = [await pool.acquire() for _ in range(size)]
    for connection in held:
        await pool.release(connection)
