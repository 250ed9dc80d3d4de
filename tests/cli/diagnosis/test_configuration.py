"""What is said of settings and secrets alone, before anything is opened."""

import pytest

from cli.diagnosis import configuration, webhook_keys
from runtime.webhook_seal import WebhookSeal

STRONG = "f1c5b2a98d7e604312ab90cdf4e5768139b0c2d7a8e6f5041723964508bdface"


@pytest.mark.parametrize(
    ("sealed", "verdict", "word"),
    [
        ([], None, ""),
        ([(None, 3)], "warning", "WEBHOOK_KEY"),
        ([("new", 3)], "ok", "newest"),
        ([("old", 3)], "warning", "older key"),
        ([("lost", 3)], "failure", "rotate"),
    ],
)
def test_how_the_keys_of_webhooks_are_sealed_is_said(sealed, verdict, word):
    seal = WebhookSeal(["n" * 32, "o" * 32])
    names = {"new": seal.names[0], "old": seal.names[1]}
    counts = [(name and names.get(name, name), count) for name, count in sealed]
    found = list(webhook_keys.examine(counts, seal, production=True))
    assert [str(one.verdict) for one in found] == ([verdict] if verdict else [])
    assert word in str(found)
    assert list(webhook_keys.examine([(None, 3)], WebhookSeal([]), production=False)) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("short", "least"),
        ("a" * 64, "not random"),
        ("abcdefgh12345678" * 4, "not random"),
        ("please-change-me-before-going-live-thank-you", "placeholder"),
        ("<generate with: openssl rand -hex 32>", "placeholder"),
        (STRONG, None),
        (STRONG[:32], None),
    ],
)
def test_a_weak_secret_is_known_from_a_strong_one(value, reason):
    found = configuration.weakness(value)
    assert (found is None) if reason is None else (reason in found)
    assert value not in str(list(configuration.secret("JWT_SECRET", value, needed=True)))


@pytest.mark.parametrize(
    ("origins", "reason"),
    [
        ("https://dashboard.example.com", None),
        ("https://a.example,https://b.example:8443", None),
        ("*", "wildcard"),
        ("https://*.example.com", "wildcard"),
        ("http://dashboard.example.com", "not encrypted"),
        ("https://dashboard.example.com/", None),
        ("https://dashboard.example.com/app", "no origin"),
        ("dashboard.example.com", "no origin"),
        ("", "not set"),
    ],
)
def test_origins_are_exact_and_encrypted(origins, reason):
    (found,) = configuration.origins(origins, production=True)
    assert found.verdict == ("ok" if reason is None else "failure")
    assert (reason or "") in found.detail


def test_what_crosses_a_network_in_the_clear_is_reported_in_production():
    def reported(url, **given):
        return [one.verdict for one in configuration.encryption("REDIS_URL", url, production=True, **given)]

    assert reported("redis://cache.example:6379", encrypted=False) == ["warning"]
    assert reported("rediss://cache.example:6379", encrypted=True) == []
    assert reported("redis://127.0.0.1:6379", encrypted=False) == []
