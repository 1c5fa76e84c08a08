"""``morphik://`` addresses, by example."""

from __future__ import annotations

import pytest

from specs.uri import InvalidURI, MorphikURI

SECRET = "p@ss:w/rd?#%"
URI = MorphikURI(role="app_x_1", password=SECRET, host="ep-1.neon.tech", database="app")


def test_build_encodes_what_could_end_a_part() -> None:
    """Whoever replaces the scheme has an address of Postgres."""
    assert URI.build() == "morphik://app_x_1:p%40ss%3Aw%2Frd%3F%23%25@ep-1.neon.tech:5432/app"
    assert URI.to_postgresql() == URI.build().replace("morphik://", "postgresql://")


@pytest.mark.parametrize(
    ("query", "sslmode", "channel_binding"),
    [
        ("", None, None),
        ("?sslmode=require&channel_binding=require", "require", "require"),
        ("?sslmode=verify-full", "verify-full", None),
        ("?sslmode=disable", "disable", None),
        ("?channel_binding=prefer", None, "prefer"),
    ],
)
def test_from_postgresql_keeps_the_query_of_neon(query: str, sslmode: str | None, channel_binding: str | None) -> None:
    """No port means 5432."""
    text = f"postgresql://app_x_1:p%40ss%3Aw%2Frd%3F%23%25@EP-1.Neon.tech/app{query}"
    uri = MorphikURI.from_postgresql(text)
    assert uri == MorphikURI("app_x_1", SECRET, "ep-1.neon.tech", "app", 5432, sslmode, channel_binding)
    assert uri.build() == URI.build() + query
    assert MorphikURI.parse(uri.build()) == uri


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "ep-1.c-2.us-east-1.aws.neon.tech"])
def test_hosts(host: str) -> None:
    """Names and addresses."""
    uri = MorphikURI(role="r", password="p", host=host, database="d", port=6543)
    assert MorphikURI.parse(uri.build()) == uri


def test_parse_ipv6_address_is_compressed() -> None:
    assert MorphikURI.parse("morphik://r:p@[0:0:0:0:0:0:0:1]/d").host == "[::1]"


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
        "morphik://r:SECRET@h",
        "morphik://r:SECRET@h/d#x",
        "morphik://r:SECRET@h/d/e",
        "morphik://r:SECRET%FF@h/d",
        "morphik://r:SECRET%00@h/d",
        "morphik://r:SECRET%0a@h/d",
        "morphik://r:SECRET\n@h/d",
        "morphik://r:SECRET@h/d\n",
        "morphik://r:SECRET@h\t/d",
        # Ports.
        "morphik://r:SECRET@h:/d",
        "morphik://r:SECRET@h:0/d",
        "morphik://r:SECRET@h:0x1/d",
        "morphik://r:SECRET@h:99999/d",
        "morphik://r:SECRET@h:05432/d",
        "morphik://r:SECRET@h:５４３２/d",
        # Queries: libpq takes any connection parameter, and the last of two.
        "morphik://r:SECRET@h/d?",
        "morphik://r:SECRET@h/d?sslmode",
        "morphik://r:SECRET@h/d?sslmode=",
        "morphik://r:SECRET@h/d?sslmode=none",
        "morphik://r:SECRET@h/d?sslmode=require&",
        "morphik://r:SECRET@h/d?sslmode=require&sslmode=disable",
        "morphik://r:SECRET@h/d?%73slmode=require",
        "morphik://r:SECRET@h/d?sslmode=requir%65",
        "morphik://r:SECRET@h/d?SSLMODE=require",
        "morphik://r:SECRET@h/d?channel_binding=yes",
        "morphik://r:SECRET@h/d?hostaddr=127.0.0.1&port=23999",
        "morphik://r:SECRET@h/d?host=other",
        "morphik://r:SECRET@h/d?options=-c",
        "morphik://r:SECRET@h/d?service=other",
        "morphik://r:SECRET@h/d?sslrootcert=system",
        # Hosts.
        "morphik://r:SECRET@h,other/d",
        "morphik://r:SECRET@127.0.0.1:23999,@h/d",
        "morphik://r:SECRET@h:1,other:2/d",
        "morphik://r:SECRET@other@h/d",
        "morphik://r:SECRET@other\\@h/d",
        "morphik://r:SECRET@h./d",
        "morphik://r:SECRET@.h/d",
        "morphik://r:SECRET@a..h/d",
        "morphik://r:SECRET@-a.h/d",
        "morphik://r:SECRET@a_b.h/d",
        "morphik://r:SECRET@h%2eneon.tech/d",
        "morphik://r:SECRET@%2Ftmp/d",
        "morphik://r:SECRET@ep-1。neon.tech/d",
        "morphik://r:SECRET@ep-1.neoｎ.tech/d",
        "morphik://r:SECRET@ep-1.\u212aeon.tech/d",
        "morphik://r:SECRET@127.1/d",
        "morphik://r:SECRET@2130706433/d",
        "morphik://r:SECRET@0x7f.1/d",
        "morphik://r:SECRET@0x7f000001/d",
        "morphik://r:SECRET@127.0.0.01/d",
        "morphik://r:SECRET@256.0.0.1/d",
        "morphik://r:SECRET@ep-1.neon.tech.1/d",
        "morphik://r:SECRET@[::1/d",
        f"morphik://r:SECRET@h/{'d' * 4096}",
        "morphik://r:SECRET@[::1%25lo]/d",
        "morphik://r:SECRET@[127.0.0.1]/d",
        f"morphik://r:SECRET@{'a' * 64}.tech/d",
        f"morphik://r:SECRET@{'a.' * 127}tech/d",
    ],
)
def test_another_form_is_refused_without_repeating_it(text: str) -> None:
    """It may hold a password."""
    for read, scheme in ((MorphikURI.parse, "morphik://"), (MorphikURI.from_postgresql, "postgresql://")):
        with pytest.raises(InvalidURI) as refused:
            read(text.replace("morphik://", scheme))
        assert SECRET not in str(refused.value)
        assert "SECRET" not in str(refused.value)
        if not text.startswith("morphik://"):
            break


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "EP-1.neon.tech"},
        {"host": "[0:0::1]"},
        {"port": 0},
        {"port": 65536},
        {"role": ""},
        {"password": "a\x7f"},
        {"database": "a\0"},
        {"sslmode": "none"},
        {"channel_binding": "none"},
    ],
)
def test_parts_that_no_uri_can_hold_are_refused(changes: dict[str, str | int]) -> None:
    parts: dict[str, str | int] = {"role": "r", "password": "p", "host": "h", "database": "d"}
    with pytest.raises(InvalidURI):
        MorphikURI(**(parts | changes))  # type: ignore[arg-type]


def test_redacted() -> None:
    """What is shown names everything but the password."""
    assert URI.redacted() == "morphik://app_x_1:***@ep-1.neon.tech:5432/app"
    assert f"{URI}" == URI.redacted()
    assert SECRET not in repr(URI)
