from __future__ import annotations

from streamd.doors.web.models.common import ApiModel
from streamd.doors.web.models.keys import Key, NewKey
from streamd.process.config.sections import HlsConfig, Section
from streamd.services.field_docs import field_docs


def test_the_string_under_a_field_is_its_text() -> None:
    assert field_docs(HlsConfig)["window_segments"] == (
        "Segments in the playlist, and so the media that stays in memory."
    )


def test_a_field_without_a_string_has_none() -> None:
    assert "id" in Key.model_fields
    assert "id" not in field_docs(Key)


def test_an_inherited_field_keeps_its_text() -> None:
    class Inheriting(HlsConfig):
        pass

    assert field_docs(Inheriting) == field_docs(HlsConfig)


def test_a_class_without_fields_has_no_texts() -> None:
    assert (field_docs(Section), field_docs(ApiModel)) == ({}, {})


def test_the_schema_of_an_answer_has_them() -> None:
    properties = NewKey.model_json_schema(mode="serialization")["properties"]
    described = {name for name, schema in properties.items() if "description" in schema}
    assert described == field_docs(NewKey).keys()
