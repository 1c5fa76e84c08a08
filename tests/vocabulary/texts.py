"""The names and the prose of one file, checked against the vocabulary."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vocabulary.page import Vocabulary

TEST_NAME = "test-name"
MAX_TEST_NAME = 80
CLAUSE_TERM = "a sentence with a noun as its subject"
_LOG_FIELD_CALLS = {"fields", "log_extra", "labels", "dict"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SNAKE_CASE = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+")
_NEON_ID = re.compile(r"[a-z]+-[a-z]+-[0-9]+")
_NAME_LITERAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_CODE = re.compile(r"``([^`]+)``|`([^`\n]+)`")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_STRING_PREFIX = re.compile(r"^([A-Za-z]*)(\"\"\"|'''|\"|')")
_FIELD = re.compile(r"\{[^{}]*\}")
_FIELD_MARK = " \N{MIDDLE DOT} "
_SQL_START = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WITH|GRANT|REVOKE|DROP|TRUNCATE)\b")
_SQL_HEADER = re.compile(r"--\s*name:\s*(\w+)")
_SQL_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|[A-Za-z_][A-Za-z0-9_]*")
_CLAUSE = re.compile(r"(?:^|(?<=[.;:!?])\s+|\n\s*\n\s*)((?:What|Who|Whom|Whose)(?:ever)?)\b(?![^.?!]*\?)", re.MULTILINE)
_TEST_START = re.compile(r"test_(who|what|whoever|nobody|a|an|the)_")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One banned word at one place; ``path`` is relative to the root."""

    path: str
    line: int
    kind: str
    text: str
    term: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.text} -> {self.term}"


class _Pieces:
    """Text put together from pieces of a file that remembers each piece's line."""

    def __init__(self) -> None:
        self.text = ""
        self._starts: list[tuple[int, int]] = []

    def add(self, text: str, line: int) -> None:
        self._starts.append((len(self.text), line))
        self.text += text

    def line_at(self, offset: int) -> int:
        start, line = max(piece for piece in self._starts if piece[0] <= offset)
        return line + self.text.count("\n", start, offset)


class FileCheck:
    """Collects the findings of one file.

    Args:
        vocabulary: the banned words.
        path: relative to the root, with slashes.
    """

    def __init__(self, vocabulary: Vocabulary, path: str) -> None:
        self._vocabulary = vocabulary
        self._path = path
        self._findings: set[Finding] = set()

    def run(self, text: str) -> list[Finding]:
        """All findings in the file's path and text, by line."""
        for part in Path(self._path).parts:
            self._name("file", Path(part).stem, 1)
        suffix = Path(self._path).suffix
        if suffix == ".py":
            self._python(text)
        elif suffix == ".sql":
            self._sql(text, 1)
        elif suffix == ".md":
            self._markdown(text)
        else:
            self._prose_text(text)
        return sorted(self._findings)

    def _report(self, kind: str, word: str, term: str, line: int, shown: str | None = None) -> None:
        if not self._vocabulary.is_allowed(self._path, word):
            self._findings.add(Finding(self._path, line, kind, shown or word, term))

    def _name(self, kind: str, name: str, line: int) -> None:
        if kind == "literal" and (name in self._vocabulary.whole_names or _NEON_ID.fullmatch(name)):
            return  # a value, not a name
        if kind == "literal" and name.startswith("test_"):
            kind = TEST_NAME
        for word, term in self._vocabulary.in_name(name):
            self._report(kind, word, term, line, name if word == name else f"{name} ({word})")

    def _prose(self, pieces: _Pieces) -> None:
        text = _CODE.sub(lambda code: self._code(code, pieces), pieces.text)
        for offset, phrase, term in self._vocabulary.in_prose(text):
            self._report("prose", phrase, term, pieces.line_at(offset))
        for match in _CLAUSE.finditer(text):
            start = match.start(1)
            sentence = " ".join(text[start : start + 50].split())
            self._report("clause", sentence, CLAUSE_TERM, pieces.line_at(start))
        for match in _SNAKE_CASE.finditer(text):
            self._name("literal", match[0], pieces.line_at(match.start()))

    def _code(self, match: re.Match[str], pieces: _Pieces) -> str:
        """Check the names in a code reference, and blank it."""
        code = match[1] or match[2]
        line = pieces.line_at(match.start())
        names = _IDENTIFIER.findall(code)
        for name in names:
            if len(names) == 1 or "_" in name or name[1:] != name[1:].lower():
                self._name("literal", name, line)
        return re.sub(r"\S", "\N{MIDDLE DOT}", match[0])

    def _prose_text(self, text: str) -> None:
        pieces = _Pieces()
        pieces.add(text, 1)
        self._prose(pieces)

    def _markdown(self, text: str) -> None:
        def fence(match: re.Match[str]) -> str:
            first = text.count("\n", 0, match.start()) + 1
            for number, line in enumerate(match[0].splitlines()[1:-1], first + 1):
                for name in _IDENTIFIER.findall(line):
                    if "_" in name or name[1:] != name[1:].lower():
                        self._name("literal", name, number)
            return re.sub(r"\S", " ", match[0])

        pieces = _Pieces()
        pieces.add(_FENCE.sub(fence, text), 1)
        self._prose(pieces)

    def _sql(self, text: str, line: int) -> None:
        comments: _Pieces | None = None
        previous = -1
        for match in _SQL_TOKEN.finditer(text):
            token, number = match[0], line + text.count("\n", 0, match.start())
            if header := _SQL_HEADER.match(token):
                self._name("sql", header[1], number)
            elif token.startswith("--"):
                if comments is None or number != previous + 1:
                    if comments is not None:
                        self._prose(comments)
                    comments = _Pieces()
                comments.add(token.lstrip("- ") + "\n", number)
                previous = number
            elif token.startswith("'"):
                self._literal(token.strip("'"), number)
            else:
                self._name("sql", token, number)
        if comments is not None:
            self._prose(comments)

    def _literal(self, value: str, line: int) -> None:
        if _SQL_START.match(value) and " " in value:
            self._sql(value, line)
        elif _NAME_LITERAL.fullmatch(value):
            self._name("literal", value, line)
        elif len(value.split()) > 1:
            pieces = _Pieces()
            pieces.add(value, line)
            self._prose(pieces)

    def _python(self, text: str) -> None:
        for node in ast.walk(ast.parse(text)):
            for name, line in _definitions(node):
                if name.startswith("test_"):
                    self._test_name(name, line)
                else:
                    self._name("name", name, line)
        self._python_texts(text)

    def _test_name(self, name: str, line: int) -> None:
        if len(name) > MAX_TEST_NAME:
            self._report(TEST_NAME, name, f"at most {MAX_TEST_NAME} characters", line)
        if _TEST_START.match(name):
            self._report(TEST_NAME, name, "unit, condition, expectation", line)
        for word, term in self._vocabulary.in_name(name):
            self._report(TEST_NAME, word, term, line, f"{name} ({word})")

    def _python_texts(self, text: str) -> None:
        """Comments that follow each other, and strings that are concatenated, are one text."""
        comments, strings = _Pieces(), _Pieces()
        last_comment, depth = -1, 0
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind, line = tokenize.tok_name[token.type], token.start[0]
            if kind in ("FSTRING_START", "FSTRING_END"):  # from Python 3.12 on; before, an f-string is one STRING
                depth += 1 if kind == "FSTRING_START" else -1
            elif kind == "FSTRING_MIDDLE":
                strings.add(token.string, line)
            elif depth:
                strings.add(_FIELD_MARK if token.string == "{" else "", line)
            elif kind == "COMMENT":
                if line != last_comment + 1:
                    self._prose(comments)
                    comments = _Pieces()
                comments.add(token.string.lstrip("#: ") + "\n", line)
                last_comment = line
            elif kind == "STRING":
                strings.add(_string_value(token.string), line)
            elif kind != "NL" and strings.text:
                self._string(strings)
                strings = _Pieces()
        self._prose(comments)

    def _string(self, pieces: _Pieces) -> None:
        value = pieces.text
        if _NAME_LITERAL.fullmatch(value) or (_SQL_START.match(value) and " " in value):
            self._literal(value, pieces.line_at(0))
        elif len(value.split()) > 1:
            self._prose(pieces)


def _string_value(token: str) -> str:
    match = _STRING_PREFIX.match(token)
    if match is None:
        return token
    value = token[match.end() : -len(match[2])].replace("\\n", "  ")
    return _FIELD.sub(_FIELD_MARK, value) if "f" in match[1].lower() else value


def _definitions(node: ast.AST) -> Iterator[tuple[str, int]]:
    """The names that a node defines."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name, node.lineno
        case ast.arg():
            yield node.arg, node.lineno
        case ast.Name(ctx=ast.Store()):
            yield node.id, node.lineno
        case ast.Attribute(ctx=ast.Store()):
            yield node.attr, node.lineno
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, node.lineno
        case ast.alias(asname=str(name)):
            yield name, node.lineno
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in _LOG_FIELD_CALLS:
            yield from ((keyword.arg, keyword.value.lineno) for keyword in node.keywords if keyword.arg)
        case _:
            return
