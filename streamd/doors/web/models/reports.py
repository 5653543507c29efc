"""Reports and complaints, as the public sends them and is told of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streamd.doors.web.models.common import ApiModel, Instant
from streamd.services.moderation.cases.case_records import AppealState, Outcome
from streamd.services.moderation.cases.report_menu import Step, Words
from streamd.services.moderation.cases.report_status import ReportState, ReportStatus
from streamd.services.moderation.categories import Category, Keyword
from streamd.services.moderation.ids import IdKind, id_pattern
from streamd.services.moderation.target import URL_CHARS_MAX

ReportId = Annotated[str, Field(pattern=id_pattern(IdKind.REPORT))]
DecisionId = Annotated[str, Field(pattern="|".join(map(id_pattern, (IdKind.DECISION, IdKind.TAKEDOWN, IdKind.BLOCK))))]
# A report's id, a full stop and its status token.
APPEAL_TOKEN_LENGTH_MAX = 128


class ReportPath(ApiModel):
    """The report in a path."""

    id: ReportId


class ReportOptionsQuery(ApiModel):
    """What a reporter has chosen so far."""

    stream: Annotated[str, Field(max_length=64)] = ""
    """The channel; the menu is the same for all of them now."""
    option: Annotated[str, Field(max_length=64)] = ""
    """The option that was chosen; empty for the beginning."""
    lang: Annotated[str, Field(max_length=32)] = ""
    """Language of the texts; empty: as `Accept-Language` says."""


class ReportOption(ApiModel):
    """One of the options that a reporter is offered."""

    id: str
    text: str


class ReportOptions(ApiModel):
    """What a reporter is shown next: options to choose from, or what to send."""

    option: str
    """What was chosen."""
    text: str
    """What is asked, or what was chosen, in words."""
    options: list[ReportOption]
    """Empty once a reason is chosen."""
    category: Category | None
    """What to send with the report; null while there is something to choose."""
    specification: Keyword | None
    explanation: Literal["optional", "required"] | None
    """Whether the reporter has to say something."""
    title: str
    """What a client calls all of this."""
    close: str
    """What a client calls the button that closes it."""
    language: str
    """Language of the texts."""
    languages: list[str]
    """Those that there are."""

    @classmethod
    def of(cls, step: Step, words: Words, languages: list[str]) -> Self:
        """The answer to a choice."""
        reason = step.reason
        return cls(
            option=step.option,
            text=step.text,
            options=[ReportOption(id=choice.id, text=choice.text) for choice in step.choices],
            category=reason.category if reason is not None else None,
            specification=reason.keyword if reason is not None else None,
            explanation=reason.explanation if reason is not None else None,
            title=words.page["title"],
            close=words.page["close"],
            language=words.language,
            languages=languages,
        )


class ReportRequest(ApiModel):
    """A report. One of `stream`, `recording`, `clip` and `url` says what is reported."""

    stream: Annotated[str, Field(max_length=64)] | None = None
    """Name of a channel."""
    recording: Annotated[str, Field(max_length=64)] | None = None
    clip: Annotated[str, Field(max_length=64)] | None = None
    url: Annotated[str, Field(max_length=URL_CHARS_MAX)] | None = None
    """A page of this server, or media of it."""
    category: Category
    specification: Keyword | None = None
    """What precisely, as `report-options` says it."""
    explanation: str = ""
    """At most 5,000 characters."""
    at: Instant | None = None
    """What was playing; null is now."""
    good_faith: Literal[True]
    """The reporter believes in good faith that what they say is true and complete."""
    contact: str = ""
    """Name and e-mail address, if they want to be asked; nobody needs to give any."""

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        if sum(each is not None for each in (self.stream, self.recording, self.clip, self.url)) != 1:
            raise ValueError("stream, recording, clip or url, and one of them")
        return self

    @property
    def subject(self) -> str:
        """What is reported."""
        return next(each for each in (self.stream, self.recording, self.clip, self.url) if each is not None)


class ReportReceipt(ApiModel):
    """What a reporter gets; nothing else ever holds the token."""

    id: str
    reference: str
    """To be said aloud: `7F3K-92`."""
    status_token: str
    """By which the report is asked about, and its decision complained about."""
    page: str
    """Path of a page that says what became of it."""


class StatusQuery(ApiModel):
    """The token, where it is not in `Authorization`."""

    token: Annotated[str, Field(max_length=APPEAL_TOKEN_LENGTH_MAX)] = ""


class DecisionTold(ApiModel):
    """A decision, as the reporter is told of it."""

    id: str
    outcome: Outcome
    at: datetime
    reason: str
    reversed_at: datetime | None
    """Set when a complaint was right."""
    appeal_token: str | None
    """With it, `POST /api/v1/appeals` takes a complaint; null where none is taken any more."""
    appeal_until: datetime | None


class AppealTold(ApiModel):
    """A complaint, as whoever made it is told of it."""

    id: str
    reference: str
    state: AppealState
    reason: str = ""


class ReportStanding(ApiModel):
    """How a report stands."""

    id: str
    reference: str
    received_at: datetime
    state: ReportState
    decision: DecisionTold | None
    appeal: AppealTold | None
    """The reporter's own."""
    warned: bool
    """It was manifestly unfounded; after some of these, reports from there are not looked at for a while."""

    @classmethod
    def of(cls, status: ReportStatus, token: str) -> Self:
        """The answer to whoever shows a report's token."""
        decision, appeal = status.decision, status.appeal
        may_appeal = status.appeal_until is not None
        return cls(
            id=status.id,
            reference=status.reference,
            received_at=status.received_at,
            state=status.state,
            decision=None
            if decision is None
            else DecisionTold(
                id=decision.id,
                outcome=decision.outcome,
                at=decision.at,
                reason=decision.reason,
                reversed_at=decision.reversed_at,
                appeal_token=f"{status.id}.{token}" if may_appeal else None,
                appeal_until=status.appeal_until,
            ),
            appeal=None
            if appeal is None
            else AppealTold(id=appeal.id, reference=appeal.id[-6:].upper(), state=appeal.state, reason=appeal.reason),
            warned=status.is_warned,
        )


class AppealRequest(ApiModel):
    """A complaint about a decision."""

    decision: DecisionId
    """The decision, or the takedown or block that it is."""
    token: Annotated[str, Field(max_length=APPEAL_TOKEN_LENGTH_MAX)]
    """The broadcaster's, from the statement of reasons, or `appeal_token` of the report."""
    text: str
    """At most 5,000 characters."""
