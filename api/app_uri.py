"""An app's URI as its owner receives it."""

from __future__ import annotations

from reconciler.catalog.encryption import Sealer, UriColumn
from specs.metadata import AppMetadata
from specs.uri import MorphikURI


def morphik_uri(app: AppMetadata, sealer: Sealer, column: UriColumn) -> str | None:
    """Return the ``morphik://`` URI of a column, or None if the column is empty.

    Raises:
        DecryptionFailed: no key decrypts it.
        InvalidURI: the decrypted text is not a ``postgresql://`` URI with one host, or its query contains another
            parameter than ``sslmode`` and ``channel_binding``.
    """
    text = sealer.decrypt_uri(app, column)
    return MorphikURI.from_postgresql(text.get_secret_value()).build() if text is not None else None
