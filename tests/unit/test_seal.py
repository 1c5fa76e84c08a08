"""A sealed URI opens in its own row, with the right key, and nowhere else."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.catalog.encryption import DecryptionFailed, Sealer, WrappedDataKey, key_id
from specs.metadata import AppMetadata
from tests.catalogs import SPEC

OLD, NEW = b"o" * 32, b"n" * 32
URI = "postgresql://app_x_1:p%40ss@host:5432/app?sslmode=require"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def sealed_app(sealer: Sealer, uri: str = URI) -> AppMetadata:
    """A row with a sealed URI, as the reconciler writes it."""
    key = sealer.new_data_key("a" * 24, 1)
    place: dict[str, Any] = {
        "owner_id": "owner",
        "app_id": "a" * 24,
        "incarnation": 1,
        "org_id": "org",
        "project_id": "project",
    }
    return AppMetadata(
        app_name="name",
        spec=SPEC,
        created_at=AT,
        updated_at=AT,
        data_key_sealed=key.sealed,
        data_key_wrapped_by=key.wrapped_by,
        data_key_version=key.version,
        connection_uri_sealed=sealer.seal(key.key, "connection_uri", uri, version=key.version, **place),
        **place,
    )


def test_what_was_sealed_opens() -> None:
    sealer = Sealer((NEW,))
    opened = sealer.decrypt_uri(sealed_app(sealer), "connection_uri")
    assert opened is not None
    assert opened.get_secret_value() == URI


def test_a_row_without_a_uri_has_none() -> None:
    sealer = Sealer((NEW,))
    assert sealer.decrypt_uri(sealed_app(sealer), "pooled_uri") is None


@pytest.mark.parametrize(
    "change",
    [
        {"owner_id": "other"},
        {"app_id": "b" * 24},
        {"incarnation": 2},
        {"org_id": "other"},
        {"project_id": "other"},
        {"org_id": None},
        {"project_id": None},
        {"data_key_version": 2},
        {"data_key_wrapped_by": key_id(OLD)},
        {"data_key_wrapped_by": None},
        {"data_key_sealed": None},
        {"data_key_sealed": b""},
        {"connection_uri_sealed": b""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_row_with_one_value_changed_does_not_open(change: dict[str, Any]) -> None:
    sealer = Sealer((NEW, OLD))
    with pytest.raises(DecryptionFailed):
        sealer.decrypt_uri(sealed_app(sealer).model_copy(update=change), "connection_uri")


PLACE: dict[str, Any] = {
    "owner_id": "owner",
    "app_id": "a" * 24,
    "incarnation": 1,
    "org_id": "org",
    "project_id": "project",
    "version": 1,
}


@pytest.mark.parametrize("name", [*PLACE])
def test_every_part_of_the_place_counts_for_the_value_alone(name: str) -> None:
    sealer = Sealer((NEW,))
    key = sealer.new_data_key("a" * 24, 1).key
    sealed = sealer.seal(key, "connection_uri", URI, **PLACE)
    other = PLACE | {name: PLACE[name] + 1 if isinstance(PLACE[name], int) else PLACE[name] + "x"}
    assert sealer.open(key, "connection_uri", sealed, **PLACE).get_secret_value() == URI
    with pytest.raises(DecryptionFailed):
        sealer.open(key, "connection_uri", sealed, **other)


def test_a_uri_does_not_open_in_the_other_column() -> None:
    sealer = Sealer((NEW,))
    app = sealed_app(sealer)
    with pytest.raises(DecryptionFailed):
        sealer.decrypt_uri(app.model_copy(update={"pooled_uri_sealed": app.connection_uri_sealed}), "pooled_uri")


@pytest.mark.parametrize("part", ["app_id", "incarnation"])
def test_a_data_key_opens_for_its_own_app_and_incarnation_only(part: str) -> None:
    sealer = Sealer((NEW,))
    app = sealed_app(sealer).model_copy(update={part: "b" * 24 if part == "app_id" else 2})
    with pytest.raises(DecryptionFailed):
        sealer.open_data_key(app)


def test_values_that_run_together_are_told_apart() -> None:
    sealer = Sealer((NEW,))
    key = sealer.new_data_key("a" * 24, 1).key
    sealed = sealer.seal(key, "connection_uri", URI, **(PLACE | {"org_id": "ab", "project_id": "c"}))
    with pytest.raises(DecryptionFailed):
        sealer.open(key, "connection_uri", sealed, **(PLACE | {"org_id": "a", "project_id": "bc"}))


def test_every_bit_counts() -> None:
    sealer = Sealer((NEW,))
    app = sealed_app(sealer)
    sealed = app.connection_uri_sealed
    assert sealed is not None
    for position in range(len(sealed)):
        changed = bytes(byte ^ (at == position) for at, byte in enumerate(sealed))
        with pytest.raises(DecryptionFailed):
            sealer.decrypt_uri(app.model_copy(update={"connection_uri_sealed": changed}), "connection_uri")


def test_rotation_of_the_wrapping_keys() -> None:
    app = sealed_app(Sealer((OLD,)))
    assert Sealer((NEW, OLD)).decrypt_uri(app, "connection_uri") is not None
    assert sealed_app(Sealer((NEW, OLD))).data_key_wrapped_by == key_id(NEW)
    with pytest.raises(DecryptionFailed, match=key_id(OLD)):
        Sealer((NEW,)).decrypt_uri(app, "connection_uri")


def test_the_same_text_never_seals_to_the_same_bytes() -> None:
    sealer = Sealer((NEW,))
    key = sealer.new_data_key("a" * 24, 1).key
    assert len({sealer.seal(key, "connection_uri", URI, **PLACE) for _ in range(100)}) == 100


def test_nothing_shows_a_key_or_a_uri() -> None:
    sealer = Sealer((NEW,))
    made = sealer.new_data_key("a" * 24, 1)
    app = sealed_app(sealer)
    opened = sealer.decrypt_uri(app, "connection_uri")
    shown = f"{sealer!r} {made!r} {made.key!r} {opened!r} {app!r}"
    assert "p%40ss" not in shown
    assert repr(made.sealed) not in shown
    assert NEW.decode() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(made.key)


@pytest.mark.parametrize("keys", [(), (b"short",), (NEW, b"")])
def test_keys_of_another_length_are_refused(keys: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(keys)


def test_a_sealed_data_key_is_what_the_catalog_keeps() -> None:
    made = Sealer((NEW,)).new_data_key("a" * 24, 3)
    assert isinstance(made, WrappedDataKey)
    assert (made.wrapped_by, made.version, made.sealed[:1]) == (key_id(NEW), 1, b"\x01")
