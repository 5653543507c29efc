"""The admin API's OpenAPI document: what it says, and that the running API does what it says."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from streamd.services.keys.admission import Admission
from streamd.services.live.health import Finding, Health, HealthCode, HealthStatus, Severity
from streamd.services.live.meter import StreamSummary
from tests.support.admin_server import run_admin_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

TOKEN = "t0ken-t0ken-t0ken-t0ken"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
START_TIMEOUT_S = 10.0
# Of each operation, with data that fits and data that does not; chosen so that all of it takes some ten seconds.
EXAMPLES_MAX = 40
# Not among them: that all that the schemas allow is accepted. They cannot say "in the future", nor that a label is
# one line of text without a stream key in it.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
    negative_data_rejection,
    ignored_auth,
]
# A key, and a user who is also a stream, that are there.
NAMES: dict[str, str] = {}


UNHEALTHY = Health(
    HealthStatus.OK,
    (Finding(HealthCode.STARVED, Severity.ERROR, "It stops.", "Send more.", datetime(2026, 1, 1, tzinfo=UTC)),),
)


class Streams:
    """One live stream, which nothing ends."""

    def summaries(self) -> Sequence[StreamSummary]:
        return [
            StreamSummary(
                "alice", "7k2m9xq4ct", datetime(2026, 1, 1, tzinfo=UTC), "192.0.2.1", "obs",
                ("avc1.640028", "mp4a.40.2"), 1920, 1080, 6e6, 60.0, 2.0, UNHEALTHY, {"hls": 3},
            )
        ]  # fmt: skip

    def summary(self, name: str) -> StreamSummary | None:
        return next((summary for summary in self.summaries() if summary.name == name), None)

    async def kick(self, name: str) -> bool:
        return self.summary(name) is not None

    def channels(self) -> Sequence[StreamSummary]:
        return []

    async def close_barred(self, is_barred: Callable[[Admission], bool]) -> list[str]:
        return []

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        return []


@pytest.fixture(scope="module")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running admin API, in a thread of its own, with a key in its store."""
    directory: Path = tmp_path_factory.mktemp("openapi")
    with run_admin_server(directory, Streams(), TOKEN, "rtmp://localhost/live") as (host, port):
        url = f"http://{host}:{port}"
        request = urllib.request.Request(
            f"{url}/api/v1/keys", b'{"user": "alice"}', AUTHORIZATION | {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=START_TIMEOUT_S) as answer:
            NAMES.update(id=json.load(answer)["id"], name="alice")
        yield url


@pytest.fixture(scope="module")
def document(api_url: str) -> Any:
    request = urllib.request.Request(f"{api_url}/openapi.json", headers=AUTHORIZATION)
    with urllib.request.urlopen(request, timeout=START_TIMEOUT_S) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def api_schema(api_url: str, document: Any) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=api_url)
    return schema


CONTRACT_CALLS = {
    ("get", "/api/v1/playback-keys"),
    ("post", "/api/v1/playback-keys"),
    ("delete", "/api/v1/playback-keys/{id}"),
    ("post", "/api/v1/playback-keys/{id}/rotate"),
    ("post", "/api/v1/playback-tokens"),
    ("post", "/api/v1/playback/revoke"),
    ("post", "/api/v1/streams/{name}/preview"),
    ("get", "/api/v1/operators"),
    ("post", "/api/v1/operators"),
    ("get", "/api/v1/operators/{name}"),
    ("patch", "/api/v1/operators/{name}"),
    ("delete", "/api/v1/operators/{name}"),
    ("post", "/api/v1/operators/{name}/rotate"),
    ("post", "/api/v1/operators/{name}/revoke"),
    ("post", "/api/v1/keys"),
    ("post", "/api/v1/keys/import"),
    ("get", "/api/v1/keys"),
    ("get", "/api/v1/keys/{id}"),
    ("post", "/api/v1/keys/{id}/rotate"),
    ("post", "/api/v1/keys/{id}/revoke"),
    ("delete", "/api/v1/keys/{id}"),
    ("delete", "/api/v1/users/{name}"),
    ("get", "/api/v1/users"),
    ("get", "/api/v1/users/{name}"),
    ("patch", "/api/v1/users/{name}"),
    ("get", "/api/v1/streams"),
    ("get", "/api/v1/streams/{name}"),
    ("post", "/api/v1/streams/{name}/kick"),
    ("post", "/api/v1/streams/{name}/record"),
    ("post", "/api/v1/clips"),
    ("get", "/api/v1/clips"),
    ("get", "/api/v1/clips/{id}"),
    ("delete", "/api/v1/clips/{id}"),
    ("get", "/api/v1/recordings"),
    ("get", "/api/v1/recordings/{id}"),
    ("patch", "/api/v1/recordings/{id}"),
    ("delete", "/api/v1/recordings/{id}"),
    ("post", "/api/v1/recordings/{id}/export"),
    ("get", "/api/v1/recordings/{id}/export"),
    ("delete", "/api/v1/recordings/{id}/export"),
    ("get", "/api/v1/recordings/{id}/export.mp4"),
    ("get", "/api/v1/cases"),
    ("get", "/api/v1/cases/{id}"),
    ("get", "/api/v1/cases/{id}/reports"),
    ("post", "/api/v1/cases/{id}/claim"),
    ("post", "/api/v1/cases/{id}/note"),
    ("post", "/api/v1/cases/{id}/decide"),
    ("post", "/api/v1/cases/{id}/reopen"),
    ("get", "/api/v1/appeals"),
    ("post", "/api/v1/appeals/{id}/decide"),
    ("patch", "/api/v1/clips/{id}"),
    ("get", "/api/v1/targets"),
    ("get", "/api/v1/categories"),
    ("post", "/api/v1/takedowns"),
    ("get", "/api/v1/takedowns"),
    ("get", "/api/v1/takedowns/{id}"),
    ("post", "/api/v1/takedowns/{id}/restore"),
    ("post", "/api/v1/blocks"),
    ("get", "/api/v1/blocks"),
    ("post", "/api/v1/blocks/import"),
    ("get", "/api/v1/blocks/{id}"),
    ("delete", "/api/v1/blocks/{id}"),
    ("post", "/api/v1/orders"),
    ("get", "/api/v1/orders"),
    ("get", "/api/v1/orders/{id}"),
    ("post", "/api/v1/orders/{id}/answered"),
    ("get", "/api/v1/users/{name}/targets"),
    ("post", "/api/v1/users/{name}/targets"),
    ("patch", "/api/v1/users/{name}/targets/{id}"),
    ("delete", "/api/v1/users/{name}/targets/{id}"),
    ("post", "/api/v1/users/{name}/targets/{id}/start"),
    ("post", "/api/v1/users/{name}/targets/{id}/stop"),
    ("get", "/api/v1/evidence"),
    ("get", "/api/v1/evidence/{id}"),
    ("get", "/api/v1/evidence/{id}/files/{name}"),
    ("get", "/api/v1/cases/{id}/findings"),
    ("post", "/api/v1/cases/{id}/findings/{finding}/judge"),
    ("get", "/api/v1/cases/{id}/draft"),
    ("get", "/api/v1/assistance"),
    ("get", "/api/v1/audit"),
    ("get", "/metrics"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}
CONSOLE_CALLS = {
    ("post", "/api/v1/session"),
    ("get", "/api/v1/session"),
    ("post", "/api/v1/session/end"),
    ("post", "/api/v1/session/totp"),
    ("post", "/api/v1/session/totp/confirm"),
    ("post", "/api/v1/session/totp/remove"),
    ("get", "/api/v1/history"),
}


def with_names_that_are_there(case: schemathesis.Case[Any]) -> schemathesis.Case[Any]:
    """Every other name in a path is one that is there, so that calls do not all end at 404."""
    for name, value in case.path_parameters.items():
        if len(str(value)) % 2:
            case.path_parameters[name] = NAMES[name]
    return case


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), sorted(CONTRACT_CALLS | CONSOLE_CALLS))
def test_the_api_does_what_its_document_says(
    api_schema: Any, method: str, path: str, mode: schemathesis.GenerationMode
) -> None:
    operation = api_schema[path][method]
    if mode is schemathesis.GenerationMode.NEGATIVE and not (operation.body or operation.query):
        return  # nothing that could be wrong, but for names, which are then of nothing

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES_MAX, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def check(case: schemathesis.Case[Any]) -> None:
        if mode is schemathesis.GenerationMode.POSITIVE:
            with_names_that_are_there(case)
        # An empty list or object among the parameters leaves nothing on the wire that could be refused.
        assume(all(value not in ([], {}, None) for value in (case.query or {}).values()))
        case.call_and_validate(headers=AUTHORIZATION, checks=CHECKS)

    check()


def test_a_document_that_does_not_say_it_all_is_found_out(api_url: str, document: Any) -> None:
    lying = json.loads(json.dumps(document))
    del lying["paths"]["/api/v1/keys/{id}"]["get"]["responses"]["404"]
    schema = schemathesis.openapi.from_dict(lying)
    schema.config.update(base_url=api_url)
    case = schema["/api/v1/keys/{id}"]["get"].Case(path_parameters={"id": "0000000000"})
    with pytest.raises(schemathesis.core.failures.FailureGroup, match="Undocumented status code"):
        case.call_and_validate(headers=AUTHORIZATION, checks=CHECKS)


class TestTheDocument:
    def test_it_is_openapi_3_1_with_every_call_of_the_contract(self, document: Any) -> None:
        assert re.fullmatch(r"3\.1\.\d", document["openapi"])
        calls = {(method, path) for path, methods in document["paths"].items() for method in methods}
        assert calls == CONTRACT_CALLS | CONSOLE_CALLS | {("get", "/openapi.json"), ("get", "/api/v1/events")}

    def test_its_schemas_are_json_schema_2020_12(self, document: Any) -> None:
        for schema in document["components"]["schemas"].values():
            jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})

    def test_every_reference_is_to_a_schema_and_every_schema_is_referred_to(self, document: Any) -> None:
        references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
        assert references == set(document["components"]["schemas"])

    def test_all_but_the_probes_need_the_token(self, document: Any) -> None:
        assert document["security"] == [{"bearer": []}]
        assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
        is_open = {
            path: operation.get("security") == []
            for path, operations in document["paths"].items()
            for operation in operations.values()
        }
        assert {path for path, is_public in is_open.items() if is_public} == {"/healthz", "/readyz"}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                assert ("401" in operation["responses"]) is not is_open[path]

    def test_every_operation_says_what_it_does_and_every_error_is_a_problem(self, document: Any) -> None:
        ids = []
        for operations in document["paths"].values():
            for operation in operations.values():
                ids.append(operation["operationId"])
                assert operation["summary"]
                for status, response in operation["responses"].items():
                    if int(status) >= 400 and operation["operationId"] != "readyz":
                        (media_type,) = response["content"]
                        assert media_type == "application/problem+json"
        assert len(ids) == len(set(ids))

    def test_parameters_and_bodies_are_those_that_validate(self, document: Any) -> None:
        listing = document["paths"]["/api/v1/keys"]["get"]
        names = [parameter["name"] for parameter in listing["parameters"]]
        assert names == ["user", "state", "search", "newest_first", "after", "limit"]
        limit = listing["parameters"][5]
        assert (limit["in"], limit["required"]) == ("query", False)
        assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
        body = document["paths"]["/api/v1/keys"]["post"]["requestBody"]
        assert body["required"] is True
        assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/IssueRequest"}
        assert document["components"]["schemas"]["IssueRequest"]["required"] == ["user"]
        revocation = document["paths"]["/api/v1/keys/{id}/revoke"]["post"]
        assert revocation["requestBody"]["required"] is False
        assert revocation["parameters"][0]["in"] == "path"
        assert set(revocation["responses"]) == {
            *("200", "202", "400", "401", "403", "404", "412", "413", "415", "421", "422", "429", "500", "503")
        }

    def test_the_secret_is_in_one_schema_alone(self, document: Any) -> None:
        holders = [n for n, s in document["components"]["schemas"].items() if "stream_key" in s.get("properties", {})]
        # Of the two of targets a body has one, and no answer.
        assert sorted(holders) == ["NewKey", "NewTarget", "TargetChange"]
