"""``morphik://`` addresses, by example."""

from __future__ import annotations

import pytest

from specs.uri import InvalidURI, MorphikURI, query_of

SECRET = "p@ss:w/rd?#%"
URI = MorphikURI(role="app_x_1", password=SECRET, host="ep-1.neon.tech", database="app")


def test_build_encodes_what_could_end_a_part() -> None:
    """Whoever replaces the scheme has an address of Postgres."""
    assert URI.build() == "morphik://app_x_1:p%40ss%3Aw%2Frd%3F%23%25@ep-1.neon.tech:5432/app"
    assert URI.to_postgresql() == URI.build().replace("morphik://", "postgresql://")
    assert URI.to_postgresql(sslmode="require").endswith("/app?sslmode=require")


def test_read_from_neon() -> None:
    """No port means 5432, and the query is left out."""
    text = (
        f"postgresql://app_x_1:{'p%40ss%3Aw%2Frd%3F%23%25'}@ep-1.neon.tech/app?sslmode=require&channel_binding=require"
    )
    assert MorphikURI.from_postgresql(text) == URI
    assert query_of(text) == {"sslmode": "require", "channel_binding": "require"}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "ep-1.c-2.us-east-1.aws.neon.tech"])
def test_hosts(host: str) -> None:
    """Names and addresses."""
    uri = MorphikURI(role="r", password="p", host=host, database="d", port=6543)
    assert MorphikURI.parse(uri.build()) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app_x_1",
        f"postgresql://r:{SECRET}@h/d",
        "morphik://h/d",
        "morphik://r@h/d",
        "morphik://r:@h/d",
        "morphik://:SECRET@h/d",
        "morphik://r:SECRET@/d",
        "morphik://r:SECRET@h/",
        "morphik://r:SECRET@h:0x1/d",
        "morphik://r:SECRET@h:99999/d",
        "morphik://r:SECRET@h/d?sslmode=require",
        "morphik://r:SECRET@h/d#x",
        "morphik://r:SECRET@h,other/d",
        "morphik://r:SECRET%FF@h/d",
        "morphik://r:SECRET@[::1/d",
        f"morphik://r:SECRET@h/{'d' * 4096}",
    ],
)
def test_another_form_is_refused_without_repeating_it(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(InvalidURI) as refused:
        MorphikURI.parse(text)
    assert SECRET not in str(refused.value)
    assert "SECRET" not in str(refused.value)


def test_redacted() -> None:
    """What is shown names everything but the password."""
    assert URI.redacted() == "morphik://app_x_1:***@ep-1.neon.tech:5432/app"
    assert f"{URI}" == URI.redacted()
    assert SECRET not in repr(URI)
