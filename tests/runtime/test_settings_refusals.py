"""Settings that are refused: whatever is wrong, one sentence that names the variable and keeps its secret."""

import os

import pytest

from cli.system.processes import SystemSettings
from indexer.settings import IndexerSettings
from runtime.errors import OperatorError
from runtime.settings import CacheSettings, DatabaseSettings, Settings, SolanaSettings, load
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


BAD_ADDRESSES = [
    ("DATABASE_URL", "mysql://u:hunter2@db.example/x"),
    ("DATABASE_URL", "host=db.example password=hunter2"),
    ("DATABASE_URL", "postgresql:/u:hunter2@db.example/x"),
    ("DATABASE_URL", "hunter2"),
    ("REDIS_URL", "http://:hunter2@cache.example"),
    ("SOLANA_RPC_URL", "rpc.example/v2/hunter2"),
    ("SOLANA_RPC_URL", "https:///v2/hunter2"),
    ("SOLANA_RPC_URL", "wss://rpc.example/v2/hunter2"),
    ("SOLANA_RPC_URL", "https://rpc.example:99999/v2/hunter2"),
    ("SOLANA_RPC_URL", "https://rpc.example:65535/v2/hunter2"),  # PubSub would be on the port after it
    ("SOLANA_RPC_URL", "https://one.example/,ftp://two.example/hunter2"),
    ("SOLANA_RPC_URL", " , "),
    ("SOLANA_RPC_URL", "https://[::1/hunter2"),
    ("SOLANA_WS_URL", "https://rpc.example/hunter2"),
    ("SOLANA_WS_URL", "wss://"),
    ("SOLANA_WS_URL", "wss://one.example, two.example/hunter2"),
    ("SOLANA_WS_URL", ","),
]


@pytest.mark.parametrize(("variable", "value"), BAD_ADDRESSES)
def test_a_bad_address_is_reported_by_the_name_of_its_variable_alone(environ, variable, value):
    environ(**{variable: value})
    sentence = refusal(SystemSettings)
    assert_sentence(sentence, naming=(variable,), hiding=("hunter2", value))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "postgresql://u:hunter2@db.example:65535/x"),
        ("DATABASE_URL", "postgres://u@db.example/x?sslmode=require"),
        ("DATABASE_URL", "postgresql://u:hunter%2F2@db1.example:5432,db2.example:5433/x"),
        ("DATABASE_URL", "postgresql:///x?host=/run/postgresql&user=u@realm"),
        ("DATABASE_URL", "postgresql://u@[::1]:5432/x"),
        ("REDIS_URL", "rediss://cache.example:6380/1"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("SOLANA_RPC_URL", "https://user:pass@rpc.example:443/a@b?api-key=1"),
    ],
)
def test_an_unusual_address_is_taken_as_it_is(environ, variable, value):
    environ(**{variable: value})
    settings = load(SystemSettings)
    assert getattr(settings, variable.lower()).get_secret_value() == value
    assert value not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("METRICS_PORT", "many"),
        ("METRICS_PORT", "65536"),
        ("METRICS_PORT", "-1"),
        ("METRICS_PORT", "9402.5"),
        ("INDEXER_QUEUE_SIZE", "0"),
        ("INDEXER_FETCH_WORKERS", "1001"),
        ("INDEXER_BATCH_SIZE", "1e9"),
        ("INDEXER_HEAL_WORKERS", """ "8" """),
        ("INDEXER_PATIENCE_SECONDS", "0"),
        ("INDEXER_PATIENCE_SECONDS", "nan"),
        ("INDEXER_SILENCE_SECONDS", "inf"),
        ("INDEXER_DRAIN_SECONDS", "-0.1"),
        ("ENABLE_METRICS", "perhaps"),
    ],
)
def test_a_bad_number_is_one_sentence(environ, variable, value):
    environ(**{variable: value})
    assert_sentence(refusal(IndexerSettings), naming=(variable,))


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL", "SOLANA_NETWORK", "SOLANA_RPC_URL"])
@pytest.mark.parametrize("how", ["unset", "empty", "empty file"])
def test_production_refuses_to_start_without_a_variable(environ, tmp_path, missing, how):
    present = {name: value for name, value in PRODUCTION.items() if name != missing}
    if how == "empty":
        present[missing] = ""
    elif how == "empty file":
        (tmp_path / "empty").write_text("\n")
        present[f"{missing}_FILE"] = str(tmp_path / "empty")
    environ(**present)
    sentence = refusal(SystemSettings)
    assert_sentence(sentence, naming=(missing,), hiding=SECRETS)
    assert not any(name in sentence for name in present if name not in {missing, f"{missing}_FILE"}), sentence


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (Settings, set()),
        (DatabaseSettings, {"DATABASE_URL"}),
        (CacheSettings, {"REDIS_URL"}),
        (SolanaSettings, {"SOLANA_NETWORK", "SOLANA_RPC_URL"}),
        (IndexerSettings, {"DATABASE_URL", "SOLANA_NETWORK", "SOLANA_RPC_URL"}),
        # In this order the first concern must not hide what the second needs.
        (type("Mixed", (CacheSettings, DatabaseSettings), {}), {"DATABASE_URL", "REDIS_URL"}),
    ],
)
def test_a_process_needs_in_production_what_its_concerns_need(environ, settings, needed):
    environ(APP_ENV="production")
    if needed:
        sentence = refusal(settings)
        assert {name for name in PRODUCTION if name in sentence} == needed
    environ(**{name: PRODUCTION[name] for name in needed})
    assert load(settings).is_production


def test_node_env_is_another_name_of_app_env_which_goes_first(environ):
    environ(NODE_ENV="test")
    assert load(Settings).app_env == "test"
    environ(APP_ENV="development")
    assert load(Settings).app_env == "development"


def test_an_empty_variable_counts_as_unset(environ):
    environ(DATABASE_URL="", SOLANA_RPC_URL="", METRICS_PORT="", LOG_LEVEL="", PAY402_HOME="", NODE_ENV="")
    settings = load(IndexerSettings)
    assert settings.database_url is None
    assert settings.rpc_urls == settings.ws_urls == []
    assert (settings.metrics_port, settings.log_level, str(settings.home)) == (9402, "info", ".pay402")


def test_a_file_that_cannot_be_read_is_one_sentence(environ, tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nowhere", tmp_path, binary):
        environ(DATABASE_URL_FILE=str(path))
        assert_sentence(refusal(DatabaseSettings), naming=("DATABASE_URL_FILE", str(path)))


def test_no_env_file_is_read(environ, tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("LOG_LEVEL=debug\nDATABASE_URL=postgresql://from-dot-env/x\n")
    monkeypatch.chdir(tmp_path)
    environ()
    settings = load(DatabaseSettings)
    assert (settings.log_level, settings.database_url) == ("info", None)
