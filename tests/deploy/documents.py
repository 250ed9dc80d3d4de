"""What a reader of our documents would type: every command, make target and path in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import ROOT

MARKDOWN = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
# Files of an operator's, whose comments tell what to type.
OTHERS = [
    ROOT / "docker-compose.yml",
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix not in {".json", ".jsonl"}),
]
_DIRECTORIES = "api|bench|chain|cli|deploy|docs|examples|indexer|ledger|localnet|migrations|runtime|tests|worker"
_ENDS = re.compile(r"[();|&<>]+|`")


@dataclass(frozen=True)
class Code:
    """A piece of code in a document. `whole` where it stands by itself and must run as it is written."""

    document: Path
    text: str
    whole: bool


def code_in(path: Path):
    """Every piece of a document that is set as code; of other files every line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        # A comment may go on in the next line.
        joined = re.sub(r"\n\s*(?:#|--) (?=--)", " ", text)
        for line in joined.splitlines():
            yield Code(path, line.lstrip("#- "), whole=False)
        return
    fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for language, block in fenced.findall(text):
        if language != "mermaid":
            yield from lines_of(path, block)
    rest = fenced.sub("", text)
    yield from lines_of(path, "\n".join(re.findall(r"^ {4}(.*)$", rest, re.MULTILINE)))
    prose = re.sub(r"^ {4}.*$", "", rest, flags=re.MULTILINE)
    for piece in re.findall(r"`([^`]+)`", prose):
        yield Code(path, " ".join(piece.split()), whole=False)


def lines_of(path, block):
    for line in re.sub(r"\\\n\s*", "", block).splitlines():
        yield Code(path, re.sub(r"(^|\s)#\s.*", "", line), whole=True)


def words_of(text):
    """As a shell would split it; None where it is no command, but prose with an apostrophe or half a string."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return None


def calls_in(code: Code):
    """What is called of `pay402` there: the words after it, up to the end of the command."""
    words = words_of(code.text) or []
    for place, word in enumerate(words):
        if word != "pay402" and not word.endswith("/bin/pay402"):
            continue
        before = words[place - 1] if place else ""
        call = []
        for following in words[place + 1 :]:
            if _ENDS.fullmatch(following):
                break
            call.append(following)
        is_called = not place or _ENDS.fullmatch(before) or re.fullmatch(r"[A-Z_0-9]+=.*|--|api|until", before)
        # Else the word may be a name: of a namespace, an image, a secret.
        if call and call != ["$@"] and (is_called or word != "pay402"):
            yield call


def make_targets_in(code: Code):
    return re.findall(r"\bmake ([a-z][a-z-]*)", code.text) if code.document.suffix == ".md" else []


def paths_in(code: Code):
    """Files of ours that a reader is sent to."""
    return re.findall(rf"(?<![\w/.])((?:{_DIRECTORIES})/[\w./@-]*\w)(?![\w*/])", code.text)
