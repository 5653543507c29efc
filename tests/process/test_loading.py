from __future__ import annotations

import gc

import pytest

from streamd.process.loading import loading


def test_nothing_is_collected_meanwhile() -> None:
    assert gc.isenabled()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_module_that_cannot_be_loaded_leaves_it_as_it_was() -> None:
    with pytest.raises(ImportError), loading():
        raise ImportError
    assert gc.isenabled()


def test_one_within_another_changes_nothing() -> None:
    with loading():
        with loading():
            pass
        assert not gc.isenabled()
