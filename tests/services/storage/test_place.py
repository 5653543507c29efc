"""The place of recordings, as the configuration names it."""

from __future__ import annotations

import pytest

from streamd.services.storage.place import Place, Scheme, keep_local_days


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://recordings", Place(Scheme.S3, "recordings", "")),
        ("s3://recordings/live/2", Place(Scheme.S3, "recordings", "live/2")),
        ("s3://recordings/live/", Place(Scheme.S3, "recordings", "live")),
        ("gs://my_bucket.example.org/x", Place(Scheme.GCS, "my_bucket.example.org", "x")),
        ("az://container/prefix", Place(Scheme.AZURE, "container", "prefix")),
        ("file:///srv/recordings/", Place(Scheme.FILE, "", "/srv/recordings")),
    ],
)
def test_a_place_is_a_bucket_and_a_prefix(text: str, place: Place) -> None:
    assert Place.parse(text) == place
    assert str(place) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "recordings", "s3:/recordings", "s3://", "s3:///prefix", "s3://ab", "s3://a b c", "s3://user:pass@bucket",
        "s3://bucket/../other", "s3://bucket/./x", "s3://bucket//x", "s3://bucket/a?b", "s3://bucket/ä",
        "https://bucket/x", "file://relative", "file:///", "file:///srv/../etc", "S3://recordings",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write "):
        Place.parse(text)


def test_objects_lie_under_the_prefix() -> None:
    assert Place.parse("s3://bucket/a/b").name("alice/x") == "a/b/alice/x"
    assert Place.parse("s3://bucket").name("alice/x") == "alice/x"
    assert Place.parse("file:///srv/a").name("alice/x") == "alice/x"


@pytest.mark.parametrize(("text", "days"), [("until_uploaded", 0), ("always", None), ("1 day", 1), ("30 days", 30)])
def test_media_is_kept_on_the_disk_for_days(text: str, days: int | None) -> None:
    assert keep_local_days(text) == days


@pytest.mark.parametrize(
    "text", ["", "never", "0 days", "-1 days", "7", "1.5 days", "7 weeks", "123456 days", "٣ days"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="until_uploaded"):
        keep_local_days(text)
