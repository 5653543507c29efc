"""A broadcaster's own clips, for their studio: made of what is recorded of them, listed, named and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.json_api import ForbiddenError, NotFoundError
from streamd.doors.web.models.clips import ClipFacts, OwnClips
from streamd.doors.web.public.own_recordings import STUDIO_ACTOR
from streamd.services.audit.records import Actor
from streamd.services.recording.clip_records import ClipFilter, ClipMaker, ClipState
from streamd.services.recording.recording_id import is_clip_id

if TYPE_CHECKING:
    from streamd.doors.web.models.clips import ClipChange, ClipRequest, OwnClipsQuery
    from streamd.doors.web.public.own_recordings import OwnRecordingDesk
    from streamd.services.keys.admission import Admission
    from streamd.services.recording.clip_records import Clip
    from streamd.services.recording.clips import Clips
    from streamd.services.recording.recorder import Recorder

# The page shows some at once, and has a button for more.
PAGE_CLIPS = 24


class OwnClipDesk:
    """Does with clips what a broadcaster may.

    Args:
        clips: The server's.
        recorder: Has the recordings.
        acts: Bounds what a broadcaster does, together with what they do with recordings.
    """

    def __init__(self, clips: Clips, recorder: Recorder, acts: OwnRecordingDesk) -> None:
        self._clips = clips
        self._recorder = recorder
        self._acts = acts

    async def page(self, user: str, query: OwnClipsQuery) -> OwnClips:
        """A broadcaster's clips, those of viewers among them, the newest first.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        page = await self._clips.index.page(ClipFilter(user=user), before=query.before, limit=PAGE_CLIPS)
        return OwnClips(
            clips=[ClipFacts.of(clip) for clip in page.items],
            next_before=page.items[-1].id if page.has_more else None,
            may_make=self._clips.options.who.may(ClipMaker.BROADCASTERS),
            max_s=self._clips.options.max_s,
        )

    async def make(self, by: Admission, address: str, asked: ClipRequest) -> ClipFacts:
        """Make a clip of the broadcaster's channel.

        Args:
            by: The broadcaster.
            address: Where they are.
            asked: What it is to be; its ``stream`` may be no other than theirs.

        Raises:
            ForbiddenError: Broadcasters make none here.
            NotFoundError: They have no such recording.
            ClipTimesError: The times do not fit.
            ClipRefusedError: It is not recorded, or has too many.
            ClipsBusyError: Too many clips are being made.
            TooManyActsError: They do too much.
            StoreUnavailableError: It could not be written.
        """
        if not self._clips.options.who.may(ClipMaker.BROADCASTERS):
            raise ForbiddenError("broadcasters make no clips on this server")
        self._acts.spend(by.user)
        if asked.recording is None:
            if asked.stream != by.user:
                raise NotFoundError("that is not your channel")
            record = await self._clips.recording_of(by.user)
        else:
            found = await self._recorder.index.find(asked.recording)
            # Another user's is as none: nobody learns here what others have.
            if found is None or found.user != by.user:
                raise NotFoundError("you have no such recording")
            record = found
        return ClipFacts.of(await self._clips.make(record, asked.times, asked.title, Actor(STUDIO_ACTOR, address)))

    async def change(self, by: Admission, address: str, clip_id: str, change: ClipChange) -> ClipFacts:
        """Give a clip of the broadcaster's channel another title, whoever made it.

        Raises:
            NotFoundError: They have no such clip.
            TooManyActsError: They do too much.
            StoreUnavailableError: It could not be written.
        """
        clip = await self._find(by, clip_id)
        return ClipFacts.of(await self._clips.rename(clip, Actor(STUDIO_ACTOR, address), change.title))

    async def delete(self, by: Admission, address: str, clip_id: str) -> ClipFacts:
        """Delete a clip of the broadcaster's channel, whoever made it.

        Raises:
            NotFoundError: They have no such clip.
            TooManyActsError: They do too much.
            StoreUnavailableError: It could not be written.
        """
        clip = await self._find(by, clip_id)
        return ClipFacts.of(await self._clips.delete(clip, Actor(STUDIO_ACTOR, address), "by its broadcaster"))

    async def _find(self, by: Admission, clip_id: str) -> Clip:
        self._acts.spend(by.user)
        clip = await self._clips.index.find(clip_id) if is_clip_id(clip_id) else None
        # Another user's is as none: nobody learns here what others have.
        if clip is None or clip.user != by.user or clip.state is ClipState.DELETED:
            raise NotFoundError("you have no such clip")
        return clip
