"""Who a request comes from, by its access key id."""

import asyncio

import pytest
from iam_under_test import call_of

from lambent.core.caller import Caller
from lambent.identity.authentication import Identity
from lambent.identity.credentials import IssuedCredentials, role_id_of
from lambent.identity.operations import sts_operations
from lambent.wire.http import HttpRequest
from lambent.wire.routes import Scope, scope_of

DEFAULT = Caller("000000000000", "arn:aws:iam::000000000000:root", "000000000000")


def signed_by(key_id: str, region: str = "eu-west-1") -> Scope | None:
    value = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/20260101/{region}/lambda/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=abc"
    )
    return scope_of(HttpRequest("GET", "/", "", {"authorization": value}))


def presigned_by(key_id: str) -> Scope | None:
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={key_id}%2F20260101%2Feu-west-1%2Flambda%2Faws4_request&a=b"
    )
    return scope_of(HttpRequest("GET", "/", query, {}))


@pytest.fixture
def issued() -> IssuedCredentials:
    return IssuedCredentials()


@pytest.fixture
def identity(issued: IssuedCredentials) -> Identity:
    return Identity(issued, account="000000000000", region="us-east-1")


@pytest.mark.parametrize("request_of", [signed_by, presigned_by])
def test_a_key_id_of_twelve_digits_is_that_account(identity: Identity, request_of: object) -> None:
    assert callable(request_of)
    for _ in range(2):
        caller = identity.caller_of(request_of("123456789012"))
        assert caller == Caller("123456789012", "arn:aws:iam::123456789012:root", "123456789012")
    assert identity.region_of(request_of("123456789012")) == "eu-west-1"


@pytest.mark.parametrize("key_id", ["AKIAIOSFODNN7EXAMPLE", "test", "12345678901", "1234567890123", "١٢٣٤٥٦٧٨٩٠١٢", ""])
def test_any_other_key_is_the_default_account(identity: Identity, key_id: str) -> None:
    assert identity.caller_of(signed_by(key_id)) == DEFAULT


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer token"}, {"authorization": "AWS4-HMAC-SHA256 Credential="}]
)
def test_a_request_without_a_signature_is_of_the_defaults(identity: Identity, headers: dict[str, str]) -> None:
    scope = scope_of(HttpRequest("GET", "/", "a=b", headers))
    assert identity.caller_of(scope) == DEFAULT
    assert identity.region_of(scope) == "us-east-1"


@pytest.mark.parametrize("region", ["", "..", "eu west", "EU", "x" * 200])
def test_what_can_not_be_a_region_is_none(identity: Identity, region: str) -> None:
    assert identity.region_of(signed_by("123456789012", region)) == "us-east-1"


def test_a_key_that_was_issued_is_its_functions_role_until_it_is_revoked(
    identity: Identity, issued: IssuedCredentials
) -> None:
    role = "arn:aws:iam::123456789012:role/jobs/worker"
    credentials = issued.issue("123456789012", role, "echo")
    caller = identity.caller_of(signed_by(credentials.access_key_id))
    assert caller == Caller(
        "123456789012", "arn:aws:sts::123456789012:assumed-role/worker/echo", f"{role_id_of(role)}:echo"
    )
    assert len(issued) == 1
    issued.revoke(credentials.access_key_id)
    issued.revoke(credentials.access_key_id)
    assert len(issued) == 0
    assert identity.caller_of(signed_by(credentials.access_key_id)) == DEFAULT


def test_issued_credentials_are_new_each_time_and_show_no_secret(issued: IssuedCredentials) -> None:
    first, second = (issued.issue("123456789012", "arn:aws:iam::123456789012:role/r", "s") for _ in range(2))
    assert first.access_key_id.startswith("ASIA")
    assert len(first.access_key_id) == 20
    assert len(first.secret_access_key) == 40
    for part in ("access_key_id", "secret_access_key", "session_token"):
        assert getattr(first, part) != getattr(second, part)
    assert first.secret_access_key not in repr(first)
    assert first.session_token not in repr(first)


def test_the_memory_of_accounts_is_bounded_and_answers_the_same(identity: Identity) -> None:
    for number in range(10_000):
        assert identity.caller_of(signed_by(f"{number:012d}")).account == f"{number:012d}"
    assert len(identity._accounts) <= 4096


def test_get_caller_identity_shows_the_caller() -> None:
    caller = Caller("123456789012", "arn:aws:sts::123456789012:assumed-role/worker/echo", "AROAX:echo")
    answer = asyncio.run(sts_operations()["GetCallerIdentity"](call_of("GetCallerIdentity", caller, {})))  # type: ignore[arg-type]
    assert answer == {"UserId": caller.user_id, "Account": caller.account, "Arn": caller.arn}
