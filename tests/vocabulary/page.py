"""The banned words of the vocabulary page, and how they are found in names and in prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One banned word or phrase, as a pattern that matches it whole."""

    pattern: re.Pattern[str]
    term: str


class Vocabulary:
    """The banned words of a vocabulary page.

    Args:
        page: Markdown. Every table whose last two columns are "Not in names" and "Not in prose" bans words; a table
            with the columns "Word", "Paths", "Reason" allows them.

    Attributes:
        terms: the preferred terms in lower case.
        whole_names: names banned only as a whole, with their terms.

    Raises:
        ValueError: a word is banned twice.
    """

    def __init__(self, page: str) -> None:
        self.whole_names: dict[str, str] = {}
        self._exact_names: dict[str, str] = {}
        names: dict[str, str] = {}
        prose: dict[str, str] = {}
        self.terms: set[str] = set()
        self._exceptions: list[tuple[str, list[str]]] = []
        for header, row in _table_rows(page):
            if header[-2:] == ["Not in names", "Not in prose"]:
                term, in_names, in_prose = row[0], _items(row[-2]), _items(row[-1])
                self.terms.add(term.lower())
                if in_prose[:1] == ["the same"]:
                    in_prose = in_names + in_prose[1:]
                for item in in_names:
                    self._add_name(item, term, names)
                for item in in_prose:
                    _add(prose, item, term)
            elif header == ["Word", "Paths", "Reason"]:
                paths = [path.strip("` ") for path in row[1].split(",")]
                self._exceptions += [(allowed.lower(), paths) for allowed in _items(row[0])]
        compound = [term for term in self.terms if " " in term]
        self._names = _compile(names, compound, separator="_", before=r"(?<![a-z0-9])", after=r"(?![a-z0-9])")
        self._prose = _compile(prose, compound, separator=r"[\s#]+", before=r"(?<![\w-])", after=r"(?!\w)")

    def _add_name(self, item: str, term: str, names: dict[str, str]) -> None:
        if item.startswith("("):
            _add(self.whole_names, item.strip("()"), term)
        elif item != item.lower():
            _add(self._exact_names, item, term)
        else:
            _add(names, item, term)

    def in_name(self, name: str) -> list[tuple[str, str]]:
        """The banned words of an identifier, each with the term to use."""
        bare = name.strip("_")
        if bare in self._exact_names:
            return [(name, self._exact_names[bare])]
        if bare in self.whole_names:
            return [(name, self.whole_names[bare])]
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


def _add(banned: dict[str, str], item: str, term: str) -> None:
    if item in banned:
        raise ValueError(f"{item!r} is banned twice, for {banned[item]!r} and for {term!r}")
    banned[item] = term


class _Matcher:
    """All entries in one pattern; ``shielded`` compounds are skipped as a whole."""

    def __init__(self, entries: list[_Entry], combined: re.Pattern[str]) -> None:
        self._entries = entries
        self._combined = combined

    def __call__(self, text: str) -> list[tuple[int, str, str]]:
        matches = []
        for match in self._combined.finditer(text):
            word = match["banned"]
            if word is not None:
                term = next(entry.term for entry in self._entries if entry.pattern.fullmatch(word))
                matches.append((match.start(), " ".join(word.split()), term))
        return matches


def _glob(item: str) -> str:
    return re.escape(item).replace(r"\*", r"\w*").replace(r"\?", r"\w")


def _compile(banned: dict[str, str], shields: Iterable[str], *, separator: str, before: str, after: str) -> _Matcher:
    def pattern(item: str) -> str:
        wildcard = "[a-z0-9]*"
        parts = (
            re.escape(part).replace(r"\*", wildcard).replace(r"\?", "[a-z0-9]") for part in re.split(r"[ _]", item)
        )
        return separator.join(parts)

    ordered = sorted(banned, key=len, reverse=True)
    entries = [_Entry(re.compile(pattern(item), re.IGNORECASE), banned[item]) for item in ordered]
    shielded = "|".join(f"{pattern(term)}s?" for term in sorted(shields, key=len, reverse=True)) or r"(?!)"
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
