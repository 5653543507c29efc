from __future__ import annotations

from streamd.services.keys.admission import Admission
from streamd.services.keys.records import PublishLimits
from streamd.services.live.publisher import Broadcaster
from tests.support.stand_in_publisher import StandInPublisher


def broadcaster(publisher: StandInPublisher | None) -> Broadcaster:
    return Broadcaster(Admission("key", "alice"), publisher, bitrate_kbps_max=100, picture_pixels_max=200)


def test_who_is_away_is_remembered_and_not_hurried() -> None:
    publisher = StandInPublisher()
    found = broadcaster(publisher)
    for act in (found.hurry, lambda: found.charge(0.5)):
        act()
    found.leave()
    for act in (found.hurry, lambda: found.charge(0.5)):
        act()
    assert (found.publisher, found.address, found.encoder) == (None, "192.0.2.7", "OBS")
    assert (publisher.hurried, publisher.charged_s) == (1, 0.5)


def test_who_comes_back_brings_an_admission_of_their_own() -> None:
    found = broadcaster(None)
    assert (found.address, found.encoder) == ("", "")
    admission, publisher = Admission("key", "alice"), StandInPublisher("192.0.2.8")
    found.come_back(admission, publisher)
    assert (found.admission, found.publisher, found.address) == (admission, publisher, "192.0.2.8")


def test_limits_are_the_users_as_they_are_now_or_else_the_servers() -> None:
    found = broadcaster(None)
    assert (found.bitrate_kbps_max(), found.picture_pixels_max()) == (100, 200)
    found.admission.limits = PublishLimits(bitrate_kbps_max=10, picture_pixels_max=20)
    assert (found.bitrate_kbps_max(), found.picture_pixels_max()) == (10, 20)
