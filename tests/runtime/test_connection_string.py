"""Addresses as providers hand them out: each parameter is honoured, or left out by its name."""

import pytest

from runtime.connection_string import UNCLEAR, place, read_connection_string
from runtime.database import open_connection, open_pool
from runtime.errors import OperatorError
from runtime.logging import scrub


def with_parameters(database_url, parameters):
    return f"{database_url}{'&' if '?' in database_url else '?'}{parameters}"


@pytest.mark.parametrize(
    "parameters",
    [
        "channel_binding=prefer",
        "channel_binding=require&connect_timeout=10",  # Neon
        "connect_timeout=0",
        "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5&tcp_user_timeout=1000",
        "gssencmode=disable",
        "application_name=theirs&fallback_application_name=psql&client_encoding=UTF8",
        "schema=public&connection_limit=5&pool_timeout=20&pgbouncer=true&statement_cache_size=0&socket_timeout=10",
        "sslaccept=accept_invalid_certs&sslmode=disable",
        "target_session_attrs=any",
        "load_balance_hosts=disable&require_auth=scram-sha-256,none&sslsni=1",
        "prepareThreshold=0&ApplicationName=theirs&reWriteBatchedInserts=true&currentSchema=public",
        "options=-c%20statement_timeout%3D60000",
        "ssl=false",
        "uselibpqcompat=true",
    ],
)
async def test_what_providers_and_drivers_add_keeps_nobody_out(database_url, parameters):
    address = with_parameters(database_url, parameters)
    async with open_connection(address, application="test") as connection:
        shown = await connection.fetchrow(
            "SELECT current_setting('application_name'), current_setting('statement_timeout'), current_database()"
        )
    assert shown[:2] == ("pay402-test", "30s")
    async with open_pool(address, application="test", max_size=2) as pool:
        assert await pool.fetchval("SELECT 1") == 1


async def test_settings_of_the_address_are_set_and_survive_the_reset_between_two_uses(database_url):
    address = with_parameters(database_url, "search_path=analytics,public&work_mem=8MB")
    settings = "SELECT current_setting('search_path'), current_setting('work_mem'), current_setting('jit')"
    async with open_pool(address, application="test", min_size=1, max_size=1) as pool:
        for _ in range(2):
            assert tuple(await pool.fetchrow(settings)) == ("analytics, public", "8MB", "off")
        async with pool.acquire() as connection:
            await connection.execute("SET work_mem = '1MB'; SET statement_timeout = 0")
        assert tuple(await pool.fetchrow(settings)) == ("analytics, public", "8MB", "off")
        assert await pool.fetchval("SELECT current_setting('statement_timeout')") == "30s"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("schema=books", "DATABASE_URL asks for the schema 'books', but the ledger lives in public; leave out schema."),
        ("connect_timeout=soon", "connect_timeout in DATABASE_URL is no number of seconds; correct it."),
        ("what_is_this=1", r'DATABASE_URL has a parameter that the server refuses \(.*"what_is_this"\); leave it out.'),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_its_name(database_url, parameters, sentence):
    with pytest.raises(OperatorError, match=f"^{sentence}$"):
        async with open_connection(with_parameters(database_url, parameters)):
            pass


def test_the_systems_certificates_stand_for_the_full_check():
    read = read_connection_string("postgresql://u:p@db.example/books?sslrootcert=system")
    assert read.tls is not None
    assert read.tls.check_hostname
    assert "sslmode=verify-full" in read.dsn
    assert "system" not in read.dsn
    assert "sslrootcert=system" in read.libpq_dsn
    strict = read_connection_string("postgresql://u:p@db.example/books?sslaccept=strict&schema=public")
    assert strict.tls is not None


def test_other_drivers_words_for_encryption_are_understood():
    for words in ("ssl=true", "requiressl=1", "sslmode=no-verify"):
        assert "sslmode=require" in read_connection_string(f"postgresql://u:p@db.example/books?{words}").dsn
    assert "verify-full" in read_connection_string("postgresql://u@h/d?ssl=true&sslmode=verify-full").dsn


def test_a_timeout_of_the_address_is_honoured_within_bounds():
    seconds = {"30": 30.0, "1": 2.0, "0": 300.0, "-1": 300.0, "100000": 300.0}
    for text, expected in seconds.items():
        read = read_connection_string(f"postgresql://u@h/d?connect_timeout={text}")
        assert read.connect_timeout_seconds == expected


def test_what_was_left_out_is_known_by_name():
    read = read_connection_string("postgresql://u:p@h/d?channel_binding=require&pgbouncer=true&sslmode=require")
    assert read.left_out == ("channel_binding", "pgbouncer")
    assert read.dsn == "postgresql://u:p@h/d?sslmode=require"


PASSWORDS = [
    "hun/ter2", "hun#ter2", "hun?ter2", "hun@ter2/x", "hun@ter2#x", "hun@ter2?x", "hun:ter2/x", "12/ter2",
    "hun%zzter2/", "hun[ter2", "hun ter2/", "hun//ter2@x", "hun\\ter2/", "12?ter2@hun/3",
]  # fmt: skip


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("rest", ["@db.invalid/books", "@db.invalid:5432/books?sslmode=disable", "@127.0.0.1:9/books"])
async def test_a_password_with_unescaped_signs_is_never_shown_in_pieces(password, rest):
    address = f"postgresql://user:{password}{rest}"
    with pytest.raises(OperatorError) as refused:
        async with open_connection(address):
            pass
    sentence = str(refused.value)
    assert "ter2" not in sentence
    assert "hun" not in sentence
    assert "ter2" not in place(address) or place(address) == UNCLEAR
    assert "ter2" not in scrub(f"cannot connect to {address}: no")


async def test_the_last_sign_before_the_host_ends_the_password(postgres, database_url):
    read = read_connection_string("postgresql://u:p@ss@db.example/books")
    assert read.dsn == "postgresql://u:p%40ss@db.example/books"
