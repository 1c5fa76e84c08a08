"""Check names and prose against the tables of docs/contributing/vocabulary.md.

``python -m tests.vocabulary [--root DIR] [--kind KIND,...] [--summary] [PATH...]`` prints ``path:line: kind: text -> term``,
then the number of findings per folder and kind. The exit status is 1 when there is a finding.
Kinds: ``file``, ``name``, ``literal`` (a name in a string or in a code reference), ``sql``, ``prose``, ``clause`` (a
sentence that starts with a relative clause) and ``test-name`` (left out unless asked for by ``--kind``).
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

VOCABULARY = Path("docs/contributing/vocabulary.md")
KINDS = ("file", "name", "literal", "sql", "prose", "clause")
TEST_NAME = "test-name"
MAX_TEST_NAME = 80
CLAUSE_TERM = "a sentence with a noun as its subject"
_UNCHECKED = (str(VOCABULARY), "tests/vocabulary.py", "tests/unit/test_vocabulary.py", "LICENSE")
_SKIPPED_FOLDERS = {"build", "dist", "node_modules", "__pycache__"}
_TEXT_FILES = {".toml", ".yaml", ".yml", ".cfg", ".ini"}
_TEXT_NAMES = {"Makefile", "Dockerfile"}
_LOG_FIELD_CALLS = {"fields", "log_extra", "labels", "dict"}
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME_LITERAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_CODE = re.compile(r"``([^`]+)``|`([^`\n]+)`")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_STRING_PREFIX = re.compile(r"^([A-Za-z]*)(\"\"\"|'''|\"|')")
_FIELD = re.compile(r"\{[^{}]*\}")
_SQL_START = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WITH|GRANT|REVOKE|DROP|TRUNCATE)\b")
_SQL_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|[A-Za-z_][A-Za-z0-9_]*")
_CLAUSE = re.compile(
    r"(?:^|(?<=[.;:!?])\s+|\n\s*\n\s*)(What|Who|Whoever|Whatever|Whichever|Whom|Whose)\b(?![^.?!]*\?)", re.MULTILINE
)
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


@dataclass(frozen=True, slots=True)
class _Entry:
    """One banned word or phrase, as a pattern that matches it whole."""

    pattern: re.Pattern[str]
    term: str


class Vocabulary:
    """The banned words of a vocabulary page.

    Args:
        page: Markdown. Every table whose last two columns are "Not in names" and "Not in prose" bans words; a table with
            the columns "Word", "Paths", "Reason" allows them.
    """

    def __init__(self, page: str) -> None:
        self._whole_names: dict[str, str] = {}
        self._exact_names: dict[str, str] = {}
        names: dict[str, str] = {}
        prose: dict[str, str] = {}
        terms: set[str] = set()
        self._exceptions: list[tuple[str, list[str]]] = []
        for header, row in _table_rows(page):
            if header[-2:] == ["Not in names", "Not in prose"]:
                term, in_names, in_prose = row[0], _items(row[-2]), _items(row[-1])
                terms.add(term.lower())
                if in_prose[:1] == ["the same"]:
                    in_prose = in_names + in_prose[1:]
                for item in in_names:
                    self._add_name(item, term, names)
                prose.update({item: term for item in in_prose})
            elif header == ["Word", "Paths", "Reason"]:
                self._exceptions.append((row[0].lower(), [path.strip("` ") for path in row[1].split(",")]))
        compound = [term for term in terms if " " in term]
        self._names = _compile(names, compound, separator="_", before=r"(?<![a-z0-9])", after=r"(?![a-z0-9])")
        self._prose = _compile(prose, compound, separator=r"[\s#\-]+", before=r"(?<![\w-])", after=r"(?![\w-])")

    def _add_name(self, item: str, term: str, names: dict[str, str]) -> None:
        if item.startswith("("):
            self._whole_names[item.strip("()")] = term
        elif item != item.lower():
            self._exact_names[item] = term
        else:
            names[item] = term

    def in_name(self, name: str) -> list[tuple[str, str]]:
        """The banned words of an identifier, each with the term to use."""
        bare = name.strip("_")
        if bare in self._exact_names:
            return [(name, self._exact_names[bare])]
        if bare in self._whole_names:
            return [(name, self._whole_names[bare])]
        return [(word, term) for _, word, term in self._names("_".join(split_name(name)))]

    def in_prose(self, text: str) -> list[tuple[int, str, str]]:
        """The banned phrases of a text: offset, phrase, term to use."""
        return self._prose(text)

    def is_allowed(self, path: str, word: str) -> bool:
        """Whether the exceptions name the word for this path."""
        return any(
            re.fullmatch(_glob(allowed), word.lower()) and any(fnmatch(path, pattern) for pattern in paths)
            for allowed, paths in self._exceptions
        )


class _Matcher:
    """All entries in one pattern; ``shielded`` compounds are skipped as a whole."""

    def __init__(self, entries: list[_Entry], combined: re.Pattern[str]) -> None:
        self._entries = entries
        self._combined = combined

    def __call__(self, text: str) -> list[tuple[int, str, str]]:
        found = []
        for match in self._combined.finditer(text):
            word = match["banned"]
            if word is not None:
                term = next(entry.term for entry in self._entries if entry.pattern.fullmatch(word))
                found.append((match.start(), " ".join(word.split()), term))
        return found


def _glob(item: str) -> str:
    return re.escape(item).replace(r"\*", r"\w*").replace(r"\?", r"\w")


def _compile(banned: dict[str, str], shields: Iterable[str], *, separator: str, before: str, after: str) -> _Matcher:
    def pattern(item: str) -> str:
        wildcard = "[a-z0-9]*" if separator == "_" else r"\w*"
        single = "[a-z0-9]" if separator == "_" else r"\w"
        parts = (re.escape(part).replace(r"\*", wildcard).replace(r"\?", single) for part in re.split(r"[ _]", item))
        return separator.join(parts)

    ordered = sorted(banned, key=len, reverse=True)
    entries = [_Entry(re.compile(pattern(item), re.IGNORECASE), banned[item]) for item in ordered]
    shielded = "|".join(pattern(term) for term in sorted(shields, key=len, reverse=True)) or r"(?!)"
    alternatives = "|".join(entry.pattern.pattern for entry in entries) or r"(?!)"
    combined = re.compile(f"{before}(?:(?:{shielded})|(?P<banned>{alternatives})){after}", re.IGNORECASE)
    return _Matcher(entries, combined)


def _table_rows(page: str) -> Iterator[tuple[list[str], list[str]]]:
    header: list[str] | None = None
    for line in page.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if header is None:
            header = cells
        elif not set(cells[0]) <= set("-: "):
            yield header, cells


def _items(cell: str) -> list[str]:
    return [item for item in (part.strip(" `") for part in cell.split(",")) if item and item != "–"]


def split_name(name: str) -> list[str]:
    """The words of an identifier in lower case: ``HTTPServer_url2`` gives http, server, url, 2."""
    return [word.lower() for word in _WORDS.findall(name)]


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
        for number, line in enumerate(text.splitlines(), 1):
            for name in _IDENTIFIER.findall(line):
                if "_" in name.strip("_"):
                    self._name("literal", name, number)

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
            if token.startswith("--"):
                if comments is None or number != previous + 1:
                    if comments is not None:
                        self._prose(comments)
                    comments = _Pieces()
                comments.add(token.lstrip("- ") + "\n", number)
                previous = number
                for name in _IDENTIFIER.findall(token):
                    if "_" in name:
                        self._name("sql", name, number)
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
        last_comment = -1
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind, line = tokenize.tok_name[token.type], token.start[0]
            if kind == "COMMENT":
                if line != last_comment + 1:
                    self._prose(comments)
                    comments = _Pieces()
                comments.add(token.string.lstrip("#: ") + "\n", line)
                last_comment = line
            elif kind == "STRING":
                strings.add(_string_value(token.string), line)
            elif kind == "FSTRING_MIDDLE":
                strings.add(token.string, line)
            elif not kind.startswith("FSTRING") and kind not in ("NL",) and strings.text:
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
    value = token[match.end() : -len(match[2])]
    return _FIELD.sub(" \N{MIDDLE DOT} ", value) if "f" in match[1].lower() else value


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


def source_files(root: Path, paths: Iterable[str] = ()) -> Iterator[Path]:
    """The checked files below the root, or below the given paths; folders with a leading dot are left out."""
    for start in [root / path for path in paths] or [root]:
        if start.is_file():
            yield start
            continue
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(
                f for f in folders if not f.startswith(".") and f not in _SKIPPED_FOLDERS and not f.endswith(".egg-info")
            )
            for name in sorted(files):
                file = Path(folder, name)
                checked = file.suffix in {".py", ".sql", ".md", *_TEXT_FILES} or name in _TEXT_NAMES
                if checked and str(file.relative_to(root)) not in _UNCHECKED:
                    yield file


def check(root: Path, vocabulary: Vocabulary, paths: Iterable[str] = ()) -> list[Finding]:
    """All findings of all kinds.

    Raises:
        SyntaxError: a file is no valid Python.
    """
    findings = []
    for file in source_files(root, paths):
        findings += FileCheck(vocabulary, file.relative_to(root).as_posix()).run(file.read_text(encoding="utf-8"))
    return findings


def main(arguments: list[str] | None = None) -> int:
    """Print the findings; 1 when there are any."""
    parser = argparse.ArgumentParser(description="Check names and prose against docs/contributing/vocabulary.md.")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--kind", default=",".join(KINDS), help=f"comma-separated; {TEST_NAME} is left out by default")
    parser.add_argument("--summary", action="store_true", help="only the numbers")
    parser.add_argument("paths", nargs="*", help="files and folders, relative to the root")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    vocabulary = Vocabulary((root / VOCABULARY).read_text(encoding="utf-8"))
    kinds = options.kind.split(",")
    findings = [finding for finding in check(root, vocabulary, options.paths) if finding.kind in kinds]
    if not options.summary:
        print(*findings, sep="\n")  # noqa: T201 - the output of a command
    _print_summary(findings)
    return 1 if findings else 0


def _print_summary(findings: list[Finding]) -> None:
    by_folder = Counter("/".join(Path(finding.path).parts[:2][: len(Path(finding.path).parts) - 1]) for finding in findings)
    by_kind = Counter(finding.kind for finding in findings)
    lines = [f"{number:6} {folder or '.'}" for folder, number in sorted(by_folder.items())]
    lines.append(f"{len(findings):6} in all: " + ", ".join(f"{kind} {number}" for kind, number in by_kind.most_common()))
    print(*lines, sep="\n", file=sys.stderr)  # noqa: T201 - the output of a command


if __name__ == "__main__":
    sys.exit(main())
