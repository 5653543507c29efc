"""The names of a recording's files: one folder a recording, whose ``media/hls`` any web server can serve as it lies.

```
{user}/{yyyy}/{mm}/{dd}/{recording_id}/
  events/recording-started.json  recording-ended.json | recording-failed.json  files.jsonl
  media/hls/index.m3u8  media/hls/{variant}/playlist.m3u8  init0.mp4  000000.m4s …
  media/thumbnails/latest/thumb.jpg  storyboard.vtt  storyboard-0.jpg …
```

The folders and documents are named as Amazon IVS names them (Auto-Record to Amazon S3), so that tools that read those
read ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.errors import RecordingError

if TYPE_CHECKING:
    from datetime import datetime

PLAYLIST_NAME = "playlist.m3u8"
INDEX_NAME = "index.m3u8"
THUMBNAILS_PATH = "media/thumbnails/latest"
THUMBNAIL_NAME = "thumb.jpg"
STORYBOARD_NAME = "storyboard.vtt"
# The folders between the directory of recordings and a recording: user, year, month and day.
_LEVELS = 4


def folder_name(user: str, recording_id: str, started_at: datetime) -> str:
    """The place of a recording under the directory of recordings, with slashes.

    Args:
        user: Name of the user, which has no slash and does not begin with a dot.
        recording_id: Its id.
        started_at: When it began, aware; the date is that of UTC.
    """
    return f"{user}/{started_at:%Y/%m/%d}/{recording_id}"


def init_name(number: int) -> str:
    """The file name of a CMAF header of a variant, counted from 0."""
    return f"init{number}.mp4"


def media_name(number: int) -> str:
    """The file name of a media file of a variant, counted from 0."""
    return f"{number:06d}.m4s"


def sheet_name(number: int) -> str:
    """The file name of a sheet of the storyboard, counted from 0."""
    return f"storyboard-{number}.jpg"


class FolderTakenError(RecordingError):
    """Another server writes a recording."""


class RecordingFolder:
    """The files of one recording.

    Args:
        path: The folder of the recording.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """Id of the recording."""
        return self.path.name

    @property
    def hls(self) -> Path:
        """The folder of playlists and media."""
        return self.path / "media" / "hls"

    @property
    def thumbnails(self) -> Path:
        """The folder of pictures."""
        return self.path / THUMBNAILS_PATH

    @property
    def events(self) -> Path:
        """The folder of documents about it."""
        return self.path / "events"

    @property
    def index(self) -> Path:
        """The multivariant playlist."""
        return self.hls / INDEX_NAME

    @property
    def started(self) -> Path:
        """The document of its beginning."""
        return self.events / "recording-started.json"

    @property
    def ended(self) -> Path:
        """The document of its end, with the hash of every file."""
        return self.events / "recording-ended.json"

    @property
    def failed(self) -> Path:
        """The document of an end by a fault, with the hash of every file that there is."""
        return self.events / "recording-failed.json"

    @property
    def files(self) -> Path:
        """The list of the files that are complete, a line each, written while it records."""
        return self.events / "files.jsonl"

    def variant(self, name: str) -> Path:
        """The folder of a variant."""
        return self.hls / name

    def playlist(self, variant: str) -> Path:
        """The media playlist of a variant."""
        return self.variant(variant) / PLAYLIST_NAME


def make_folder(path: Path) -> None:
    """Make a folder that nobody but us may read, and those above it that are not there yet.

    Raises:
        OSError: The disk does not take it.
    """
    for is_last in (False, True):
        missing = [each for each in (path, *path.parents) if not each.exists()]
        try:
            for each in reversed(missing):
                each.mkdir(mode=0o700, exist_ok=True)
        except FileNotFoundError:
            # The folder of a day went with the last recording in it (``remove_folder``).
            if is_last:
                raise
        else:
            return


def claim_folder(path: Path) -> int:
    """Take a folder for this process, until the descriptor is closed or the process ends.

    Returns:
        The descriptor.

    Raises:
        FolderTakenError: Another server writes there.
        OSError: There is no such folder.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderTakenError("another server writes it") from None
    except OSError:
        # A file system without locks: nothing is known of other servers.
        pass
    return descriptor


def remove_folder(path: Path) -> None:
    """Remove the folder of a recording, and of those above it the ones that are empty: the day's up to the user's.

    Raises:
        OSError: Something of it is still there.
    """
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
    with contextlib.suppress(OSError):
        for each in path.parents[:_LEVELS]:
            each.rmdir()


def remove_media(folder: RecordingFolder) -> None:
    """Remove the media of a recording, and all that shows it; its documents stay.

    Raises:
        OSError: Something of it is still there.
    """
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder.path / "media")


def free_bytes(path: Path) -> int:
    """Space on the disk of a file or folder, which need not be there yet, or any more.

    Raises:
        OSError: The disk does not answer.
    """
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists())).free
