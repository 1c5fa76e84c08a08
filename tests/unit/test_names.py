"""Names that outlive everything else, by example."""

from __future__ import annotations

import re

import pytest

from specs.names import (
    APP_ID_LENGTH,
    APP_NAME_PATTERN,
    FALLBACK_SLUG,
    ProjectName,
    app_id_from_bytes,
    format_project_name,
    is_app_id,
    is_app_name,
    parse_project_name,
    role_name,
    slug,
)

APP_ID = "a2" * 12


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("My Shop", "my-shop"),
        ("  --My__Shop!!  ", "my-shop"),
        ("Čaj & Kafé", "caj-kafe"),
        ("商店", FALLBACK_SLUG),
        ("🦄", FALLBACK_SLUG),
        ("商店 2", "2"),
        ("x" * 99, "x" * 40),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_slug(name: str, short: str) -> None:
    """Letters and digits of ASCII are left; where there are none, a word stands for them."""
    assert slug(name) == short


@pytest.mark.parametrize(
    ("name", "accepted", "described"),
    [
        ("Čaj & Kafé 商店 🦄", True, True),
        ("می\u200cخواهم", True, True),
        ("\u200dx", False, True),
        ("pay\u202egpj.exe", False, True),
        ("a\u2066b\u2069", False, True),
        ("a\u00a0b", False, True),
        ("a\U000e0041", False, True),
        ("a\x1b[31m", False, False),
        ("a\nb", False, False),
        ("a\x9b", False, False),
        ("", False, False),
    ],
)
def test_app_name_accepted_is_a_part_of_what_the_pattern_describes(name: str, accepted: bool, described: bool) -> None:
    assert is_app_name(name) is accepted
    assert (re.search(APP_NAME_PATTERN, name) is not None) is described


def test_project_name_is_parsed_back() -> None:
    """The id is what counts; it may even stand in the app's own name."""
    assert parse_project_name(format_project_name("My Shop", APP_ID)) == ProjectName("my-shop", APP_ID)
    assert parse_project_name(format_project_name(f"x {APP_ID}", "b3" * 12)) == ProjectName(f"x-{APP_ID}", "b3" * 12)


@pytest.mark.parametrize(
    "name",
    [
        "",
        APP_ID,
        f"-{APP_ID}",
        f"shop-{APP_ID}-copy",
        f"shop-{APP_ID}\n",
        f"Shop-{APP_ID}",
        f"sh--op-{APP_ID}",
        f"shop-{APP_ID[1:]}",
        f"shop-{APP_ID.upper()}",
        f"shop-{APP_ID[:-1]}1",
        "renamed by hand",
    ],
)
def test_a_look_alike_is_not_taken_for_ours(name: str) -> None:
    """Only the whole form counts."""
    assert parse_project_name(name) is None


@pytest.mark.parametrize("text", ["", "a" * 23, "a" * 25, "A" * 24, "a" * 23 + "1", "a" * 24 + "\n", "a" * 23 + "é"])
def test_what_is_no_app_id(text: str) -> None:
    """It has one form, and one length, so that none is a prefix of another."""
    assert not is_app_id(text)
    with pytest.raises(ValueError, match="not an app id"):
        format_project_name("shop", text)


def test_app_id_from_entropy() -> None:
    """All of the entropy is in it, and no other amount is taken."""
    assert app_id_from_bytes(bytes(15)) == "a" * APP_ID_LENGTH
    assert is_app_id(app_id_from_bytes(bytes(range(15))))
    with pytest.raises(ValueError, match="15 bytes"):
        app_id_from_bytes(bytes(16))


def test_role_is_made_of_nothing_that_people_chose() -> None:
    """Another app, incarnation or number is another role."""
    roles = {role_name(app, life, number) for app in (APP_ID, "b3" * 12) for life in (1, 2) for number in (1, 2)}
    assert len(roles) == 8
    assert all(role.startswith("app_") and role.isascii() and role == role.lower() for role in roles)
