"""Settings: where they come from, what is derived from them, and that their secrets do not show."""

import os

import pytest

from cli.system.processes import SystemSettings
from indexer.settings import IndexerSettings
from runtime.errors import OperatorError
from runtime.settings import DatabaseSettings, Settings, SolanaSettings, derived_ws_url, load
from tests.support.sentences import assert_sentence

PRODUCTION = {
    "APP_ENV": "production",
    "DATABASE_URL": "postgresql://ledger:hunter2@db.example/ledger",
    "REDIS_URL": "redis://:hunter3@cache.example:6379/0",
    "SOLANA_NETWORK": "mainnet-beta",
    "SOLANA_RPC_URL": "https://rpc.example/v2/hunter4",
    "ALLOWED_ORIGINS": "https://dashboard.example",
    "JWT_SECRET": "hunter5" * 5,
    "WEBHOOK_KEY": "hunter6" * 5,
}
SECRETS = ("hunter2", "hunter3", "hunter4", "hunter5", "hunter6")


@pytest.fixture
def environ(monkeypatch):
    """Sets variables in an environment that holds nothing else."""
    for name in list(os.environ):
        monkeypatch.delenv(name)

    def set_all(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


def refusal(settings):
    with pytest.raises(OperatorError) as raised:
        load(settings)
    return str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SOLANA_NETWORK", "mainnet", "'mainnet-beta', 'testnet', 'devnet' or 'localnet'"),
        ("SOLANA_NETWORK", "Devnet", "'devnet'"),
        ("APP_ENV", "prod", "'production'"),
        ("NODE_ENV", "staging", "'production'"),
        ("LOG_LEVEL", "verbose", "'warning'"),
    ],
)
def test_an_unknown_choice_is_reported_with_the_known_ones(environ, variable, value, expected):
    environ(**{variable: value})
    assert_sentence(refusal(SolanaSettings), naming=(f"{variable} is {value!r}", expected))


@pytest.mark.parametrize(("word", "level"), [("warn", "warning"), ("WARN", "warning"), ("Error", "error")])
def test_a_level_may_be_written_as_other_tools_write_it(environ, word, level):
    environ(LOG_LEVEL=word)
    assert load(Settings).log_level == level


def test_a_secret_choice_from_a_file_is_not_shown(environ, tmp_path):
    file = tmp_path / "network"
    file.write_text("hunter2")
    environ(SOLANA_NETWORK_FILE=str(file))
    assert_sentence(refusal(SolanaSettings), naming=("SOLANA_NETWORK", "'devnet'"), hiding=("hunter2",))


def test_production_names_everything_that_is_missing_at_once(environ):
    environ(NODE_ENV="production")
    sentence = refusal(SystemSettings)
    assert_sentence(
        sentence,
        naming=(
            "ALLOWED_ORIGINS, DATABASE_URL, JWT_SECRET, REDIS_URL, SOLANA_NETWORK, SOLANA_RPC_URL and WEBHOOK_KEY",
            "set them",
        ),
    )


def test_a_variable_can_come_from_a_file_but_the_variable_itself_goes_first(environ, tmp_path):
    file = tmp_path / "dsn"
    file.write_text("  postgresql://u:hunter2@from-file.example/x\n\n")
    environ(DATABASE_URL_FILE=str(file))
    secret = load(DatabaseSettings).database_url
    assert secret is not None
    assert secret.get_secret_value() == "postgresql://u:hunter2@from-file.example/x"
    environ(DATABASE_URL="postgresql://u@from-variable.example/x")
    secret = load(DatabaseSettings).database_url
    assert secret is not None
    assert secret.get_secret_value() == "postgresql://u@from-variable.example/x"


def test_a_bad_value_in_a_file_is_reported_by_name_only(environ, tmp_path):
    file = tmp_path / "dsn"
    file.write_text("mysql://u:hunter2@db.example/x")
    environ(DATABASE_URL_FILE=str(file))
    assert_sentence(refusal(DatabaseSettings), naming=("DATABASE_URL",), hiding=("hunter2",))


def test_settings_cannot_be_changed_and_show_no_secret(environ):
    environ(**PRODUCTION)
    settings = load(SystemSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.log_level = "debug"
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize(
    ("rpc", "ws"),
    [
        ("http://127.0.0.1:8899", "ws://127.0.0.1:8900"),
        ("http://localhost:8899/", "ws://localhost:8900/"),
        ("https://api.devnet.solana.com", "wss://api.devnet.solana.com"),
        ("HTTPS://api.devnet.solana.com", "wss://api.devnet.solana.com"),
        ("https://rpc.example/v2/KEY", "wss://rpc.example/v2/KEY"),
        ("https://rpc.example/?api-key=KEY", "wss://rpc.example/?api-key=KEY"),
        ("https://rpc.example:8443/a/KEY?x=1&y=2#part", "wss://rpc.example:8444/a/KEY?x=1&y=2"),
        ("https://user:p%40ss@rpc.example/a", "wss://user:p%40ss@rpc.example/a"),
        ("https://user:p%40ss@rpc.example:8899/a", "wss://user:p%40ss@rpc.example:8900/a"),
        ("https://user@rpc.example:1", "wss://user@rpc.example:2"),
        ("http://[::1]:8899", "ws://[::1]:8900"),
        ("http://[2001:db8::1]/a", "ws://[2001:db8::1]/a"),
        ("http://user:pass@[2001:db8::1]:8899/a", "ws://user:pass@[2001:db8::1]:8900/a"),
        ("http://Node.Example:80", "ws://Node.Example:81"),
    ],
)
def test_the_pubsub_address_is_derived_as_solanas_clients_do(rpc, ws):
    assert derived_ws_url(rpc) == ws


def test_several_endpoints_are_taken_in_order_each_with_its_own_pubsub(environ):
    environ(SOLANA_RPC_URL=" https://one.example/KEY , http://127.0.0.1:8899,")
    settings = load(SolanaSettings)
    assert settings.rpc_urls == ["https://one.example/KEY", "http://127.0.0.1:8899"]
    assert settings.ws_urls == ["wss://one.example/KEY", "ws://127.0.0.1:8900"]
    environ(SOLANA_WS_URL="wss://other.example/s")
    assert load(SolanaSettings).ws_urls == ["wss://other.example/s"]


def test_the_environment_is_read_when_settings_are_loaded_and_not_before(environ):
    environ(INDEXER_QUEUE_SIZE="7")
    assert load(IndexerSettings).queue_size == 7
    environ(INDEXER_QUEUE_SIZE="8")
    assert load(IndexerSettings).queue_size == 8
