"""Whatever AMF0 can say comes back as it was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.amf import amf0
from streamd.formats.amf.values import UNDEFINED, Date, EcmaArray, TypedObject, Value, XmlDocument

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.just(UNDEFINED),
    st.booleans(),
    st.floats(allow_nan=False),
    TEXT,
    st.builds(Date, st.floats(allow_nan=False), st.integers(-(2**15), 2**15 - 1)),
    st.builds(XmlDocument, TEXT),
)


def _containers(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    objects = st.dictionaries(TEXT, values, max_size=4)
    return st.one_of(
        objects,
        objects.map(EcmaArray),
        st.lists(values, max_size=4),
        st.builds(TypedObject, TEXT, objects),
    )


VALUES: st.SearchStrategy[Value] = st.recursive(LEAVES, _containers, max_leaves=20)


@given(st.lists(VALUES, max_size=5))
def test_what_is_written_is_read_back(values: list[Value]) -> None:
    written = amf0.write_values(*values)
    read = amf0.read_values(written)
    assert read == values
    assert amf0.write_values(*read) == written
