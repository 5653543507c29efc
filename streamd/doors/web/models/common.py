"""Models that several calls take or answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from streamd.services.field_docs import field_docs
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.request import PAGE_LIMIT_MAX, REASON_LENGTH_MAX
from streamd.services.keys.stream_key import KEY_ID_ALPHABET, KEY_ID_LENGTH

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

PAGE_LIMIT_DEFAULT = 100
# The largest running number of either database.
SEQUENCE_MAX = 2**63 - 1

# The command line's word on the account that it runs as, beside the admin token, whose holder may say it.
ACCOUNT_FIELD: Final = "Streamd-Account"


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        # The first and the last hours of the calendar lie outside of it elsewhere.
        raise ValueError("write a time between the years 1 and 9999 in UTC") from None


KeyId = Annotated[str, Field(pattern=f"^[{KEY_ID_ALPHABET}]{{{KEY_ID_LENGTH}}}$", examples=["7k2m9xq4ct"])]
UserName = Annotated[str, Field(pattern=f"^{USER_NAME.pattern}$", examples=["alice"])]
Limit = Annotated[int, Field(ge=1, le=PAGE_LIMIT_MAX)]
Cursor = Annotated[int, Field(ge=0, le=SEQUENCE_MAX)]
Reason = Annotated[str, Field(max_length=REASON_LENGTH_MAX)]
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class ApiModel(BaseModel):
    """The base of all of them: closed to unknown fields, and documented by the string under each field.

    A model's checks are made when it is first used: a server that starts and a command that asks it use few of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The JSON Schema, with the strings under the fields as their descriptions."""
        described = handler(schema)
        properties = handler.resolve_ref_schema(described).get("properties", {})
        for name, text in field_docs(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return described


class ReasonRequest(ApiModel):
    """The reason of a revocation or a kick."""

    reason: Reason = ""
    """For the audit log, in your words."""


class ReasonQuery(ApiModel):
    """The reason of a deletion, which has no body."""

    reason: Reason = ""
    """For the audit log, in your words."""


class Problem(ApiModel):
    """An error. Spec: RFC 9457."""

    type: str = "about:blank"
    title: str
    """The HTTP status in words."""
    status: int
    detail: str
    """The fault of this request, and the remedy."""
    errors: list[str] = []
    """Each fault of the body or query, with the field it is in."""
