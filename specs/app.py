"""The app document: the client's request (``AppRequest``) and the desired state made from it (``AppSpec``)."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from specs.names import APP_NAME_PATTERN, is_app_name

NAME_LENGTH = 100

# Every plan of Neon accepts these (Neon docs, Plans): 0.25 to 2 compute units, the default suspend time of 300 s,
# six hours of history.
DEFAULT_MIN_CU = 0.25
DEFAULT_MAX_CU = 2.0
DEFAULT_SUSPEND_SECONDS = 300
DEFAULT_HISTORY_SECONDS = 21_600


def _app_name(text: str) -> str:
    """Return the name in NFC. It can be longer than ``text``; its length is the one that counts."""
    normal = unicodedata.normalize("NFC", text)
    if not is_app_name(text) or not is_app_name(normal):
        raise ValueError("must contain printable characters only, no control characters")
    if len(normal) > NAME_LENGTH:
        raise ValueError(f"must have at most {NAME_LENGTH} characters in Unicode's form NFC")
    return normal


AppName = Annotated[
    str,
    # The length is checked before the normalization, whose time grows with the square of a run of combining marks.
    Field(
        min_length=1,
        max_length=NAME_LENGTH,
        json_schema_extra={"pattern": APP_NAME_PATTERN},
        description="1 to 100 characters of any script, stored in Unicode's form NFC. Rejected with a 422: control, "
        "formatting, bidirectional and private-use characters, line and paragraph separators, every space but "
        "U+0020, and a zero-width joiner or non-joiner at either end.",
    ),
    AfterValidator(_app_name),
]
Region = Annotated[str, Field(min_length=1, max_length=60)]


class AppRequest(BaseModel):
    """The body of ``POST /ee/apps``.

    Attributes:
        app_name: 1 to 100 printable characters of any script; stored in Unicode's NFC form.
        region: a Neon region id such as ``aws-us-east-1``; None means the configured default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    app_name: AppName
    region: Region | None = Field(None, description="Neon's id of the region; null or absent means the default one.")

    def provided_fields(self) -> dict[str, Any]:
        """Return the fields that the client sent, by name; null counts as absent."""
        return self.model_dump(exclude_none=True)

    def fingerprint(self) -> bytes:
        """Return a digest (SHA-256) of the fields that the client sent; it does not depend on the defaults.

        ``region`` is part of it also when it is null, since stored digests contain it.
        """
        absent = {name for name in type(self).model_fields if getattr(self, name) is None} - {"region"}
        return hashlib.sha256(self.model_dump_json(exclude=absent).encode()).digest()


class AppSpec(BaseModel):
    """An app's desired state, as the catalog stores it. The ranges are Neon's (``specs.neon.requests``).

    A field of a later version is ignored here, and the catalog keeps it: an update sets only the fields that it names.
    A default is also the value of every row that lacks the field, so it never changes.
    ``quota`` maps the fields of Neon's quota object to their limits; an absent field is unlimited.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    region: Region
    pg_version: int = Field(ge=14, le=99)
    min_cu: float = Field(DEFAULT_MIN_CU, ge=0.25, allow_inf_nan=False)
    max_cu: float = Field(DEFAULT_MAX_CU, ge=0.25, allow_inf_nan=False)
    suspend_seconds: int = Field(DEFAULT_SUSPEND_SECONDS, ge=-1, le=604_800)
    history_retention_seconds: int = Field(DEFAULT_HISTORY_SECONDS, ge=0, le=2_592_000)
    quota: dict[str, int] = Field(default_factory=dict)


class DesiredApp(AppSpec):
    """A name and a spec, for a create."""

    app_name: AppName

    @property
    def spec(self) -> AppSpec:
        """Return the spec alone."""
        return AppSpec.model_construct(**{name: getattr(self, name) for name in AppSpec.model_fields})
