"""The place of recordings beside this machine's disk: a bucket and a prefix in it, as ``[storage]`` names it."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path

# S3: 3 to 63; Azure's containers are the shortest, GCS allows dots and underscores.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
# Amazon S3, "Safe characters" of object keys. Characters that need escaping are read differently by every service.
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9!_.*'()-]{1,255}")
_KEEP_DAYS = re.compile(r"([0-9]{1,5}) days?")

HOW = 'write "s3://bucket/prefix", "gs://bucket/prefix", "az://container/prefix" or "file:///directory"'
KEEP_HOW = 'write "until_uploaded", "always" or a number of days, such as "7 days"'


class Scheme(enum.StrEnum):
    """The service that keeps the objects."""

    S3 = "s3"
    """Amazon S3, and what speaks its protocol."""
    GCS = "gs"
    """Google Cloud Storage."""
    AZURE = "az"
    """Azure Blob Storage."""
    FILE = "file"
    """A directory, such as another file system that is mounted."""


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, and the prefix of all that is ours in it."""

    scheme: Scheme
    bucket: str
    """A container on Azure; empty for a directory."""
    prefix: str
    """Without slashes at its ends; the absolute path of a directory."""

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read a URL.

        Raises:
            ValueError: It is none of ours; the message says what to write.
        """
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in set(Scheme):
            raise ValueError(HOW)
        if scheme == Scheme.FILE:
            if not rest.startswith("/") or ".." in Path(rest).parts or Path(rest) == Path("/"):
                raise ValueError('write the absolute path of a directory, such as "file:///srv/recordings"')
            return cls(Scheme.FILE, "", str(Path(rest)))
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.rstrip("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError(f"{HOW}; a bucket's name has 3 to 63 letters, digits, dots and hyphens")
        if prefix and not all(_SEGMENT.fullmatch(segment) for segment in prefix.split("/")):
            raise ValueError("write a prefix of letters, digits and !_.*'()- between single slashes")
        return cls(Scheme(scheme), bucket, prefix)

    def __str__(self) -> str:
        """As it is written in the file."""
        return f"{self.scheme}://{'/'.join(part for part in (self.bucket, self.prefix) if part)}"

    def name(self, path: str) -> str:
        """The name of an object in the bucket.

        Args:
            path: Under the prefix, with slashes.
        """
        # The directory itself is the bucket's place.
        return path if self.scheme is Scheme.FILE or not self.prefix else f"{self.prefix}/{path}"


def keep_local_days(text: str) -> int | None:
    """Days for which media stays on the disk once it is in the bucket; None for always.

    Raises:
        ValueError: It is no such text; the message says what to write.
    """
    if text == "until_uploaded":
        return 0
    if text == "always":
        return None
    found = _KEEP_DAYS.fullmatch(text)
    if found is None or not int(found[1]):
        raise ValueError(KEEP_HOW)
    return int(found[1])


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """The bucket, and how it is used."""

    place: Place
    endpoint: str = ""
    """URL of a service that is not its scheme's own; empty for that."""
    region: str = ""
    access_key_id: str = ""
    """S3's; the name of the account on Azure. Empty: what the environment and the machine's role say."""
    secret_access_key_file: str = ""
    """Path of the file with its secret: S3's, an account's key on Azure, a service account's JSON on GCS."""
    path_style: bool = True
    storage_class: str = ""
    keep_local_days: int | None = 0
    """After so many days in the bucket, media on the disk is deleted. None: never."""
    serve: str = "proxy"
    """``proxy``, ``redirect``, or the URL under which the prefix is public, without a slash at its end."""
