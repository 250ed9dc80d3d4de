"""Servers and databases of a test's own, and coroutines that run beside its loop."""

import asyncio
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import asyncpg


def run_apart(coroutine):
    """Run a coroutine to its end on a loop of its own, for fixtures that outlive the loop of a test."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


async def execute(dsn, statement):
    """Run one statement outside any transaction, as CREATE DATABASE needs it."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def short_lived_home():
    """A directory that other users may pass, unlike pytest's own, with a path short enough for sockets."""
    home = Path(tempfile.mkdtemp(prefix="pay402-test-"))
    try:
        yield home
    finally:
        shutil.rmtree(home)
