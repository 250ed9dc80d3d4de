"""Servers and databases of a test's own, and coroutines that run beside its loop."""

import asyncio
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import asyncpg

_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 4 * 1024**3


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


def _files_in_memory():
    """Where files are kept in memory, if there is room; a database of hundreds of files is made for most tests."""
    has_room = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES
    return _MEMORY if has_room else None


@contextmanager
def short_lived_home():
    """A directory that other users may pass, unlike pytest's own, with a path short enough for sockets."""
    home = Path(tempfile.mkdtemp(prefix="pay402-test-", dir=_files_in_memory()))
    try:
        yield home
    finally:
        shutil.rmtree(home)
