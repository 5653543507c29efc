from __future__ import annotations

import pytest

from streamd.errors import SecretsError
from streamd.services.restream.secret_box import SecretBox, new_secret_key, read_keys

OLD, NEW = new_secret_key(), new_secret_key()


class TestSecretBox:
    def test_what_is_locked_can_be_opened_and_shows_nothing(self) -> None:
        box = SecretBox([NEW])
        locked = box.lock("a-stream-key")
        assert b"a-stream-key" not in locked
        assert box.open(locked) == "a-stream-key"
        assert box.lock("a-stream-key") != locked

    def test_the_first_key_locks_and_all_open(self) -> None:
        locked = SecretBox([OLD]).lock("x")
        both = SecretBox([NEW, OLD])
        assert both.open(locked) == "x"
        anew = both.lock_anew(locked)
        assert SecretBox([NEW]).open(anew) == "x"
        with pytest.raises(SecretsError, match="not in the file"):
            SecretBox([NEW]).open(locked)
        with pytest.raises(SecretsError, match="not in the file"):
            SecretBox([NEW]).lock_anew(locked)

    @pytest.mark.parametrize("keys", [[], ["short"], [NEW, "x" * 44], [NEW] * 17])
    def test_what_is_no_key_is_said_without_it(self, keys: list[str]) -> None:
        with pytest.raises(SecretsError) as caught:
            SecretBox(keys)
        assert NEW not in str(caught.value)

    def test_lines_of_the_file_may_be_empty_or_comments(self) -> None:
        assert read_keys(f"# a comment\n\n  {NEW}  \n{OLD}\n") == [NEW, OLD]
