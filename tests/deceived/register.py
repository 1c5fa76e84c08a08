"""The stories, and what each is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.deceived.stage import Stage

POST = "POST /projects"
Off = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Story:
    """What happens, which safeguard it is about, and the wrong act that it prevents."""

    tell: Callable[[Stage], Awaitable[None]]
    off: Off
    wrong: str


STORIES: list[Story] = []


def story(off: Off, wrong: str) -> Callable[[Callable[[Stage], Awaitable[None]]], Callable[[Stage], Awaitable[None]]]:
    """Register a story."""

    def register(tell: Callable[[Stage], Awaitable[None]]) -> Callable[[Stage], Awaitable[None]]:
        STORIES.append(Story(tell, off, wrong))
        return tell

    return register
