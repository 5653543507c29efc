"""The API reference is what the running APIs say and answer."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from docs import reference
from docs.reference import DECIDED_CALLS, PUBLIC_CALLS, Call, ask_public, page

if TYPE_CHECKING:
    from docs.reference import Example

pytestmark = pytest.mark.integration


def schema_of(document: dict[str, Any], example: Example) -> dict[str, Any]:
    """The schema of an answer, with the document's others beside it."""
    template = next(path for path in document["paths"] if reference._is_of(path, example.path))
    answers = document["paths"][template][example.method.lower()]["responses"]
    content: dict[str, Any] = next(iter(answers[str(example.status)]["content"].values()))
    return {**content["schema"], "components": document["components"]}


def test_it_is_what_the_apis_answer_now() -> None:
    assert reference.PAGE.read_text("utf-8") == page(), "make it anew: python -m docs.reference"


def test_the_public_api_answers_as_its_document_says() -> None:
    calls = [*PUBLIC_CALLS, Call("GET", "/api/v1/streams/nobody")]
    examples, document = asyncio.run(ask_public(calls, DECIDED_CALLS))
    statuses = [200, 200, 200, 200, 201, 200, 200, 200, 202, 404, 200, 202]
    assert [example.status for example in examples] == statuses
    for example in examples:
        jsonschema_rs.validate(schema_of(document, example), example.answer)


def test_an_answer_that_does_not_fit_would_be_found() -> None:
    (example,), document = asyncio.run(ask_public([Call("GET", "/api/v1/streams/alice")]))
    example.answer["viewers"] = "many"
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema_of(document, example), example.answer)


def test_every_call_of_both_apis_has_an_example_that_was_answered() -> None:
    text = reference.PAGE.read_text("utf-8")
    calls = re.findall(r"^### ([A-Z]+ /\S+)\n(.*?)(?=^#{2,3} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(calls) > 80
    answered = re.compile(r"^```sh\ncurl .*?^20\d(, in part)?:$", re.MULTILINE | re.DOTALL)
    assert [call for call, said in calls if not answered.search(said)] == []


def test_no_secret_is_in_it() -> None:
    assert not [line for line in reference.PAGE.read_text("utf-8").splitlines() if "sk_" in line and "_..." not in line]
