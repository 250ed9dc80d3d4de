"""What an error for an operator looks like: one sentence, with what to do next, without secrets."""

import re


def assert_sentence(text: str, *, naming: tuple[str, ...] = (), hiding: tuple[str, ...] = ()) -> None:
    """Fail unless `text` is one line and one sentence that gives advice after a semicolon."""
    assert text == text.strip(), text
    assert "\n" not in text, text
    assert text.endswith("."), text
    assert not re.search(r"\.\s+[A-Z]", text), f"more than one sentence: {text}"
    _, semicolon, advice = text.rpartition("; ")
    assert semicolon, f"no advice: {text}"
    assert re.match(
        r"(in production, say|(and )?(or )?(then )?"
        r"(add|ask|check|choose|correct|end|free|give|install|mend|pass|record|remove|report|restrict|run|say|see|set|start"
        r"|stop|take|create|drop|restore|the revisions are|to|unset|use|wait|write)\b)",
        advice,
    ), f"no advice: {text}"
    for name in naming:
        assert name in text, f"{name} is not named: {text}"
    for secret in hiding:
        assert secret not in text, f"a secret is told: {text}"
