"""The seal over URIs in the catalog: AES-256-GCM under a data key per app, itself wrapped by ``ENCRYPTION_KEYS``.

Additional data binds every ciphertext to its app, owner, project and column: a value that was moved to another one does
not decrypt. It is a JSON array, so different lists of values never have the same encoding.

Sealed bytes are one byte of format version, 12 bytes of random nonce, then ciphertext and tag.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from reconciler.errors import ReconcileError
from specs.metadata import AppMetadata

KEY_BYTES = 32
FORMAT = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16

UriColumn = Literal["connection_uri", "pooled_uri"]


class DecryptionFailed(ReconcileError):
    """A ciphertext that no key decrypts: another key, another row or column, or changed bytes."""


class DataKey:
    """One app's key, opened. Neither ``repr`` nor pickling shows it."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, plain: bytes, additional: bytes) -> bytes:
        """Seal bytes with a new random nonce."""
        return _encrypt(self._cipher, plain, additional)

    def decrypt(self, sealed: bytes, additional: bytes) -> bytes:
        """Open bytes; raises ``cryptography.exceptions.InvalidTag`` when they do not belong here."""
        return _decrypt(self._cipher, sealed, additional)

    def __repr__(self) -> str:
        return "DataKey(**)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a data key stays in its process")


@dataclass(frozen=True, slots=True)
class WrappedDataKey:
    """A data key as the catalog keeps it, and opened for its first use.

    Attributes:
        sealed: for ``data_key_sealed``.
        wrapped_by: id of the wrapping key, for ``data_key_wrapped_by``.
        version: for ``data_key_version``.
        key: the key itself.
    """

    sealed: bytes = field(repr=False)
    wrapped_by: str
    version: int
    key: DataKey


class Sealer:
    """Seals and opens with the configured keys: the first encrypts, all decrypt.

    Args:
        keys: at least one, 32 bytes each.

    Raises:
        ValueError: no key, or one of another length.
    """

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("at least one key is needed, each of 32 bytes")
        self._wrapping = [(key_id(key), AESGCM(key)) for key in keys]

    def __repr__(self) -> str:
        return f"Sealer({', '.join(name for name, _ in self._wrapping)})"

    def new_data_key(self, app_id: str, incarnation: int, *, version: int = 1) -> WrappedDataKey:
        """A fresh data key for one incarnation of an app, wrapped by the first key."""
        wrapped_by, wrapping = self._wrapping[0]
        key = secrets.token_bytes(KEY_BYTES)
        sealed = _encrypt(wrapping, key, _data_key_aad(app_id, incarnation, wrapped_by))
        return WrappedDataKey(sealed=sealed, wrapped_by=wrapped_by, version=version, key=DataKey(key))

    def open_data_key(self, app: AppMetadata) -> DataKey:
        """The data key of an app's row.

        Raises:
            DecryptionFailed: the row has none, its wrapping key is not configured, or the bytes belong to another row.
        """
        sealed, wrapped_by = app.data_key_sealed, app.data_key_wrapped_by
        if sealed is None or wrapped_by is None:
            raise DecryptionFailed(f"app {app.app_id} has no data key")
        fitting = [wrapping for name, wrapping in self._wrapping if name == wrapped_by]
        if not fitting:
            raise DecryptionFailed(f"the data key of app {app.app_id} needs key {wrapped_by}, not in ENCRYPTION_KEYS")
        aad = _data_key_aad(app.app_id, app.incarnation, wrapped_by)
        for wrapping in fitting:
            try:
                return DataKey(_decrypt(wrapping, sealed, aad))
            except InvalidTag:
                continue
        raise DecryptionFailed(f"key {wrapped_by} does not open the data key of app {app.app_id}")

    def seal(
        self,
        key: DataKey,
        column: UriColumn,
        text: str,
        *,
        owner_id: str,
        app_id: str,
        incarnation: int,
        org_id: str,
        project_id: str,
        version: int,
    ) -> bytes:
        """Seal the text of one column of one row; ``version`` is the data key's."""
        aad = _value_aad(column, owner_id, app_id, incarnation, org_id, project_id, version)
        return key.encrypt(text.encode(), aad)

    def open(
        self,
        key: DataKey,
        column: UriColumn,
        sealed: bytes,
        *,
        owner_id: str,
        app_id: str,
        incarnation: int,
        org_id: str,
        project_id: str,
        version: int,
    ) -> SecretStr:
        """The text that ``seal`` sealed.

        Raises:
            DecryptionFailed: another key, another row or column, or changed bytes.
        """
        aad = _value_aad(column, owner_id, app_id, incarnation, org_id, project_id, version)
        try:
            return SecretStr(key.decrypt(sealed, aad).decode())
        except InvalidTag:
            raise DecryptionFailed(f"the {column} of app {app_id} does not open in its row") from None

    def decrypt_uri(self, app: AppMetadata, column: UriColumn) -> SecretStr | None:
        """A URI of an app's row, or None where the row has none.

        Raises:
            DecryptionFailed: there is one and it does not open.
        """
        sealed = app.connection_uri_sealed if column == "connection_uri" else app.pooled_uri_sealed
        if sealed is None:
            return None
        if app.org_id is None or app.project_id is None:
            raise DecryptionFailed(f"app {app.app_id} has a {column} and no recorded project")
        return self.open(
            self.open_data_key(app),
            column,
            sealed,
            owner_id=app.owner_id,
            app_id=app.app_id,
            incarnation=app.incarnation,
            org_id=app.org_id,
            project_id=app.project_id,
            version=app.data_key_version,
        )


def key_id(key: bytes) -> str:
    """The public name of a wrapping key: the first 8 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:8]


def _data_key_aad(app_id: str, incarnation: int, wrapped_by: str) -> bytes:
    return json.dumps(["data key", app_id, incarnation, wrapped_by]).encode()


def _value_aad(
    column: str, owner_id: str, app_id: str, incarnation: int, org_id: str, project_id: str, version: int
) -> bytes:
    return json.dumps(["value", column, owner_id, app_id, incarnation, org_id, project_id, version]).encode()


def _encrypt(cipher: AESGCM, plain: bytes, additional: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return FORMAT + nonce + cipher.encrypt(nonce, plain, FORMAT + additional)


def _decrypt(cipher: AESGCM, sealed: bytes, additional: bytes) -> bytes:
    if len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != FORMAT:
        raise InvalidTag
    return cipher.decrypt(sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :], FORMAT + additional)
