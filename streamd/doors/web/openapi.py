"""The OpenAPI document of an API, made of the very types that its requests are validated with.

An ``Operation`` describes a call completely: the router, the reader of requests and the document use the same one, so
the three agree.

Spec: OpenAPI 3.1.1 (2024), whose schemas are JSON Schema 2020-12; RFC 9457 for errors.
"""

from __future__ import annotations

import http
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from streamd.services.operators.roles import Right, roles_with

OPENAPI_VERSION = "3.1.1"
JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"

_SCHEMA_REF = "#/components/schemas/{model}"
_TOKEN_SCHEME = "bearer"  # noqa: S105  # a name of the document's, no token


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of an API."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    """With its parameters in braces, as aiohttp and OpenAPI both write them."""
    handler: Callable[..., Awaitable[web.StreamResponse]]
    """It takes the request, then the valid ``query`` or ``body`` where there is one. Its name is the operation's id,
    and its docstring the description."""
    answer: type[BaseModel] | str | None
    """Its successful answer: a model, the media type of a text, or None for any JSON object."""
    status: int = 200
    path_model: type[BaseModel] | None = None
    """Parameters in the path. An invalid one names a thing that does not exist: 404, and not 422."""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_bytes_max: int = 0
    """How long a body it takes that is no model; 0: none, or as long as any of its port."""
    other_answers: Mapping[int, type[BaseModel]] | None = None
    """Successful answers with another status."""
    problems: Sequence[int] = ()
    """Its own error statuses, beside those of its inputs and its guards."""
    plain_problems: Sequence[int] = ()
    """Its own error statuses whose body is a line of text."""
    needs_token: bool = True
    right: Right | None = Right.OPERATORS
    """What whoever shows a token needs to have beside it; None for nothing. A call that names none is for admins."""
    begins_session: bool = False
    """An operator who signs in with a code may call it by the token alone."""
    refuses_misfits: bool = True
    """A query or body that does not fit its model is 422, with problem details; else it is the handler's affair."""


# An invalid Host, a page of another site, an If-Match, a compressed body, too many requests, a fault of ours.
PUBLIC_GUARDS = (400, 403, 412, 415, 429, 500)
# And a Host that is not ours.
ADMIN_GUARDS = (*PUBLIC_GUARDS, 421)


def openapi_document(
    operations: Iterable[Operation],
    *,
    title: str,
    version: str,
    description: str,
    problem: type[BaseModel],
    guards: Sequence[int] = ADMIN_GUARDS,
) -> dict[str, Any]:
    """Describe an API.

    Args:
        operations: Its calls.
        title: Its name.
        version: Of the program that serves it.
        description: Its purpose, CommonMark.
        problem: Model of the problem details that every error is.
        guards: Statuses of the errors that every call of this port may have.

    Returns:
        The document, as JSON's types.
    """
    operations = list(operations)
    schemas = _Schemas([*_models(operations), (problem, "serialization")])
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, problem, guards)
    document: dict[str, Any] = {
        "openapi": OPENAPI_VERSION,
        "info": {"title": title, "version": version, "description": description},
        "paths": paths,
        "components": {"schemas": schemas.definitions},
    }
    if any(operation.needs_token for operation in operations):
        document["components"]["securitySchemes"] = {
            _TOKEN_SCHEME: {
                "type": "http",
                "scheme": "bearer",
                "description": "The token of an operator, of a session, or the admin token: `admin.token` of the "
                "configuration, or `data_dir/admin-token`.",
            }
        }
        document["security"] = [{_TOKEN_SCHEME: []}]
    return document


class _Schemas:
    """JSON Schemas of the models of a document."""

    def __init__(self, models: list[tuple[type[BaseModel], JsonSchemaMode]]) -> None:
        references, definitions = models_json_schema([*dict.fromkeys(models)], ref_template=_SCHEMA_REF)
        self._references = references
        self.definitions: dict[str, Any] = definitions["$defs"]
        """Schemas by name, but for those whose fields are parameters."""
        self._parameters: dict[str, dict[str, Any]] = {}

    def reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
        """A reference to the schema of a model that goes in (``validation``) or out (``serialization``)."""
        return self._references[model, mode]

    def parameters(self, model: type[BaseModel], place: Literal["path", "query"]) -> list[dict[str, Any]]:
        """The fields of a model as parameters; the model is no schema of its own then."""
        name = self.reference(model, "validation")["$ref"].rpartition("/")[2]
        schema = self._parameters.setdefault(name, self.definitions.pop(name, {}))
        required = schema.get("required", [])
        return [
            {
                "name": name,
                "in": place,
                "required": place == "path" or name in required,
                **({"description": value["description"]} if "description" in value else {}),
                "schema": _without_null({key: part for key, part in value.items() if key not in _NOT_OF_A_PARAMETER}),
            }
            for name, value in schema["properties"].items()
        ]


_NOT_OF_A_PARAMETER = {"title", "description"}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out: a URL has no way to write null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return {**choices[0], **rest}


def _models(operations: Iterable[Operation]) -> Iterable[tuple[type[BaseModel], JsonSchemaMode]]:
    for operation in operations:
        for model in (operation.path_model, operation.query, operation.body):
            if model is not None:
                yield model, "validation"
        for answer in (operation.answer, *(operation.other_answers or {}).values()):
            if isinstance(answer, type):
                yield answer, "serialization"


def _operation(
    operation: Operation, schemas: _Schemas, problem: type[BaseModel], guards: Sequence[int]
) -> dict[str, Any]:
    summary, _, rest = inspect.cleandoc(operation.handler.__doc__ or "").partition("\n\n")
    described: dict[str, Any] = {
        # aiohttp's handlers are bound methods: __name__ is theirs.
        "operationId": operation.handler.__name__,
        "summary": summary.replace("\n", " ").rstrip("."),
        "tags": [_tag(operation.path)],
    }
    description = re.sub(r"(?<!\n)\n(?!\n)", " ", rest).replace("``", "`")
    if operation.needs_token and operation.right is not None:
        description = f"{description}\n\nFor the roles {', '.join(roles_with(operation.right))}.".strip()
    if description:
        described["description"] = description
    if operation.path_model is not None:
        described["parameters"] = schemas.parameters(operation.path_model, "path")
    if operation.query is not None:
        described.setdefault("parameters", []).extend(schemas.parameters(operation.query, "query"))
    if operation.body is not None:
        described["requestBody"] = {
            # No body at all is an empty object.
            "required": any(field.is_required() for field in operation.body.model_fields.values()),
            "content": {JSON_TYPE: {"schema": schemas.reference(operation.body, "validation")}},
        }
    if not operation.needs_token:
        described["security"] = []
    responses: dict[int, dict[str, Any]] = {operation.status: _response(operation, schemas)}
    for status, model in (operation.other_answers or {}).items():
        responses[status] = _content(_phrase(status), JSON_TYPE, schemas.reference(model, "serialization"))
    for status in _problem_statuses(operation, guards):
        responses[status] = _content(_phrase(status), PROBLEM_TYPE, schemas.reference(problem, "serialization"))
    for status in operation.plain_problems:
        plain = _content(_phrase(status), "text/plain", {"type": "string"})
        responses.setdefault(status, plain)["content"].update(plain["content"])
    described["responses"] = {str(status): responses[status] for status in sorted(responses)}
    return described


def _response(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    phrase = _phrase(operation.status)
    match operation.answer:
        case None:
            return _content(phrase, JSON_TYPE, {"type": "object"})
        case str(media_type):
            return _content(phrase, media_type, {"type": "string"})
        case model:
            return _content(phrase, JSON_TYPE, schemas.reference(model, "serialization"))


def _problem_statuses(operation: Operation, guards: Sequence[int]) -> Iterable[int]:
    yield from operation.problems
    yield from guards
    if operation.needs_token:
        yield 401
    if operation.path_model is not None:
        yield 404
    if operation.refuses_misfits and (operation.query is not None or operation.body is not None):
        yield 422
    if operation.body is not None:
        yield from (413, 503)


def _content(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _phrase(status: int) -> str:
    return http.HTTPStatus(status).phrase


def _tag(path: str) -> str:
    """The group of a path in the API: ``keys`` of ``/api/v1/keys/{id}``; ``server`` outside of the API."""
    match = re.match(r"/api/v\d+/(\w+)", path)
    return match[1] if match else "server"
