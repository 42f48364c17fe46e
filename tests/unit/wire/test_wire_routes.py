"""Which operation a request reaches, by each of the ways that name a service."""

import pytest

from lambent.wire.catalog import Protocol, service
from lambent.wire.http import HttpRequest
from lambent.wire.paths import PathTable
from lambent.wire.routes import Routed, Router, UnknownOperation, UnservedService, scope_of
from lambent.wire.serialize import fail

ROUTER = Router(["lambda", "iam", "sts", "logs"])
FORM = "application/x-www-form-urlencoded; charset=utf-8"
CREDENTIAL = "AKIDEXAMPLE/20260101/eu-west-1/{}/aws4_request"


def signed(name: str) -> dict[str, str]:
    scope = CREDENTIAL.format(name)
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


def route(method: str, path: str, headers: dict[str, str] | None = None, query: str = "", body: bytes = b"") -> Routed:
    return ROUTER.route(HttpRequest(method, path, query, headers or {}, body))


def lambda_path(method: str, path: str, query: str = "") -> Routed:
    return route(method, path, signed("lambda"), query)


def test_an_invoke_is_routed_by_its_signature_and_path() -> None:
    routed = lambda_path("POST", "/2015-03-31/functions/echo/invocations", "Qualifier=1")
    assert (routed.service.name, routed.protocol, routed.operation.name) == ("lambda", Protocol.REST_JSON, "Invoke")
    assert routed.labels == {"FunctionName": "echo"}
    assert routed.scope is not None
    assert routed.scope.region == "eu-west-1"


def test_a_slash_at_the_end_makes_no_difference() -> None:
    assert lambda_path("GET", "/2015-03-31/functions/").operation.name == "ListFunctions"
    assert lambda_path("GET", "/2015-03-31/functions").operation.name == "ListFunctions"
    assert lambda_path("POST", "/2014-11-13/functions/echo/invoke-async/").operation.name == "InvokeAsync"


def test_an_arn_with_encoded_colons_and_slashes_is_one_label() -> None:
    encoded = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af%3A1%2Fdurable-execution%2Fa%2Fb"
    routed = lambda_path("GET", f"/2025-12-01/durable-executions/{encoded}")
    assert routed.operation.name == "GetDurableExecution"
    assert routed.labels["DurableExecutionArn"].endswith("function:f:1/durable-execution/a/b")


def test_an_arn_with_bare_slashes_is_one_label_too() -> None:
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution/a/b"
    routed = lambda_path("GET", f"/2025-12-01/durable-executions/{arn}/history")
    assert (routed.operation.name, routed.labels) == ("GetDurableExecutionHistory", {"DurableExecutionArn": arn})
    assert lambda_path("GET", f"/2025-12-01/durable-executions/{arn}").labels == {"DurableExecutionArn": arn}


def test_query_literals_tell_operations_apart() -> None:
    assert lambda_path("GET", "/2018-10-31/layers", "find=LayerVersion&Arn=x").operation.name == "GetLayerVersionByArn"
    assert lambda_path("GET", "/2018-10-31/layers", "Arn=x").operation.name == "ListLayers"


def test_a_literal_wins_over_a_label_and_a_greedy_label_takes_the_rest() -> None:
    table = PathTable(
        [("GET", "/{Bucket}", "List"), ("GET", "/{Bucket}/{Key+}", "Get"), ("GET", "/status/now", "Status")]
    )
    assert table.match("GET", "/status/now", "") == ("Status", {})
    assert table.match("GET", "/b/", "") == ("List", {"Bucket": "b"})
    assert table.match("GET", "/b/k/l%2Fm/", "") == ("Get", {"Bucket": "b", "Key": "k/l/m/"})
    assert table.match("GET", "/", "") is None
    assert table.match("PUT", "/b", "") is None


def test_a_greedy_label_stops_at_the_literals_behind_it() -> None:
    table = PathTable([("GET", "/foo/{A}/baz/{B+}", "Late"), ("GET", "/of/{A+}/end", "Early")])
    assert table.match("GET", "/foo/a/baz/b/c", "") == ("Late", {"A": "a", "B": "b/c"})
    assert table.match("GET", "/of/a/end/b/end", "") == ("Early", {"A": "a/end/b"})
    assert table.match("GET", "/of/a/b", "") is None


def test_a_presigned_request_is_routed_by_its_query() -> None:
    credential = CREDENTIAL.format("lambda").replace("/", "%2F")
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Expires=60"
    routed = route("GET", "/2015-03-31/functions", {}, query)
    assert routed.operation.name == "ListFunctions"
    assert routed.scope is not None
    assert routed.scope.access_key_id == "AKIDEXAMPLE"


def test_the_signature_wins_over_the_target_header() -> None:
    headers = signed("lambda") | {"x-amz-target": "Logs_20140328.CreateLogGroup"}
    assert route("GET", "/2015-03-31/functions", headers).operation.name == "ListFunctions"


def test_an_unsigned_request_is_routed_by_its_target() -> None:
    routed = route("POST", "/", {"x-amz-target": "Logs_20140328.DescribeLogGroups"})
    assert (routed.service.name, routed.protocol, routed.operation.name) == (
        "logs",
        Protocol.JSON,
        "DescribeLogGroups",
    )


def test_the_target_wins_over_the_host() -> None:
    headers = {"x-amz-target": "Logs_20140328.DescribeLogGroups", "host": "lambda.localhost:4566"}
    assert route("POST", "/", headers).service.name == "logs"


def test_the_host_wins_over_the_path() -> None:
    with pytest.raises(UnknownOperation) as caught:
        route("POST", "/2015-03-31/functions", {"host": "logs.us-east-1.localhost:4566"})
    assert caught.value.service is service("logs")


def test_an_unsigned_form_is_routed_by_its_version() -> None:
    routed = route("POST", "/", {"content-type": FORM}, body=b"Action=GetCallerIdentity&Version=2011-06-15")
    assert (routed.service.name, routed.operation.name) == ("sts", "GetCallerIdentity")
    assert route("GET", "/", {}, "Action=ListRoles&Version=2010-05-08").service.name == "iam"


def test_an_unsigned_path_is_routed_by_itself() -> None:
    assert route("GET", "/2015-03-31/functions/f", {"host": "127.0.0.1:4566"}).operation.name == "GetFunction"


def test_an_unknown_path_is_an_unknown_operation() -> None:
    with pytest.raises(UnknownOperation) as caught:
        lambda_path("GET", "/2015-03-31/nothing")
    answer = fail(None, caught.value, "id")
    assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")
    assert ("x-amzn-ErrorType", "UnknownOperationException") in answer.headers


def test_a_label_that_is_not_utf_8_is_an_unknown_operation() -> None:
    with pytest.raises(UnknownOperation):
        lambda_path("GET", "/2015-03-31/functions/%ff")


def test_an_unknown_target_is_answered_in_json() -> None:
    with pytest.raises(UnknownOperation) as caught:
        route("POST", "/", signed("logs") | {"x-amz-target": "Logs_20140328.Nothing"})
    answer = fail(None, caught.value, "id")
    assert (answer.status, answer.body) == (400, b'{"__type":"UnknownOperationException"}')


def test_an_unknown_action_is_invalid() -> None:
    with pytest.raises(UnknownOperation) as caught:
        route("POST", "/", signed("sts") | {"content-type": FORM}, body=b"Action=Nothing&Version=2011-06-15")
    answer = fail(None, caught.value, "id")
    assert answer.status == 400
    assert b"<Code>InvalidAction</Code>" in answer.body
    assert b"Could not find operation Nothing for version 2011-06-15" in answer.body


def test_a_request_signed_for_another_service_is_not_answered_by_one_of_ours() -> None:
    with pytest.raises(UnservedService) as caught:
        route("GET", "/2015-03-31/functions", signed("s3"))
    answer = fail(None, caught.value, "id")
    assert answer.status == 501
    assert b"docs/compatibility.md" in answer.body


def test_a_request_that_names_nothing_is_not_served() -> None:
    with pytest.raises(UnservedService):
        route("GET", "/")


def test_a_scope_of_another_form_is_no_scope() -> None:
    for authorization in ("Basic abc", "AWS4-HMAC-SHA256 Credential=a/b/c, Signature=0"):
        assert scope_of(HttpRequest("GET", "/", "", {"authorization": authorization})) is None
