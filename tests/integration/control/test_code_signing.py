"""Code signing configurations as boto3 uses them, against a running server."""

import re
from functools import partial
from typing import Any

import pytest
from lambda_api import (
    ACCOUNT,
    ARNS,
    OTHER_ACCOUNT,
    REGION,
    Refusal,
    broken_constraint,
    clients,
    conflict,
    invalid,
    make_function,
    not_found,
    reconfigure,
    refusal,
    settle,
    shape,
    status,
    unique,
    zipped,
)
from layer_archives import archive

PUBLISHERS = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/mine/abcdefghij"]}
CONFIGS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:"
ABSENT = CONFIGS + "csc-0123456789abcdefg"
ENFORCE = {"UntrustedArtifactOnDeployment": "Enforce"}
QUALIFIED = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


@pytest.fixture
def function(api: Any) -> Any:
    name = unique("signed")
    make_function(api, name)
    yield name
    api.delete_function(FunctionName=name)


def create(api: Any, **members: Any) -> str:
    """The new configuration's ARN."""
    made = api.create_code_signing_config(AllowedPublishers=PUBLISHERS, **members)
    return str(made["CodeSigningConfig"]["CodeSigningConfigArn"])


def unverified(arn: str) -> Refusal:
    return Refusal(
        400,
        "CodeVerificationFailedException",
        "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client "
        f"is not configured to accept. Check the provided signature for {arn}.",
        "User",
    )


def unknown(arn: str) -> Refusal:
    return Refusal(
        404,
        "CodeSigningConfigNotFoundException",
        f"The code signing configuration cannot be found. Check that the provided configuration is not deleted: {arn}.",
        "User",
    )


def test_a_configuration_lives_from_creation_to_deletion(api: Any) -> None:
    created = api.create_code_signing_config(
        Description="ours", AllowedPublishers=PUBLISHERS, CodeSigningPolicies=ENFORCE
    )
    assert status(created) == 201
    made = created["CodeSigningConfig"]
    assert shape(created) == {
        "CodeSigningConfig": {
            "CodeSigningConfigId": made["CodeSigningConfigId"],
            "CodeSigningConfigArn": CONFIGS + made["CodeSigningConfigId"],
            "Description": "ours",
            "AllowedPublishers": PUBLISHERS,
            "CodeSigningPolicies": ENFORCE,
            "LastModified": made["LastModified"],
        }
    }
    assert re.fullmatch(r"csc-[a-z0-9]{17}", made["CodeSigningConfigId"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", made["LastModified"])
    named = {"CodeSigningConfigArn": made["CodeSigningConfigArn"]}
    assert shape(api.get_code_signing_config(**named)) == shape(created)

    others = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/other/abcdefghij"]}
    updated = api.update_code_signing_config(**named, AllowedPublishers=others)
    assert status(updated) == 200
    after = updated["CodeSigningConfig"]
    assert after == {**made, "AllowedPublishers": others, "LastModified": after["LastModified"]}
    again = api.update_code_signing_config(
        **named, Description="", CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"}
    )["CodeSigningConfig"]
    assert (again["Description"], again["CodeSigningPolicies"], again["AllowedPublishers"]) == (
        "",
        {"UntrustedArtifactOnDeployment": "Warn"},
        others,
    )
    assert api.get_code_signing_config(**named)["CodeSigningConfig"] == again

    deleted = api.delete_code_signing_config(**named)
    assert (status(deleted), shape(deleted)) == (204, {})
    missing = not_found(f"The Lambda code signing configuration {made['CodeSigningConfigArn']} can not be found.")
    for operation in (
        api.get_code_signing_config,
        api.update_code_signing_config,
        api.delete_code_signing_config,
        api.list_functions_by_code_signing_config,
    ):
        assert refusal(operation, **named) == missing


def test_what_is_not_given_has_its_default(api: Any) -> None:
    made = api.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]
    assert (made["Description"], made["CodeSigningPolicies"]) == ("", {"UntrustedArtifactOnDeployment": "Warn"})
    empty = api.create_code_signing_config(AllowedPublishers=PUBLISHERS, CodeSigningPolicies={})["CodeSigningConfig"]
    assert empty["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    for config in (made, empty):
        api.delete_code_signing_config(CodeSigningConfigArn=config["CodeSigningConfigArn"])


def test_the_models_constraints_hold(api: Any) -> None:
    given = {"AllowedPublishers": PUBLISHERS}
    for broken, text in (
        ({"Description": "x" * 257}, "at 'description'"),
        ({"AllowedPublishers": None}, "at 'allowedPublishers'"),
        ({"AllowedPublishers": {"SigningProfileVersionArns": []}}, "at 'allowedPublishers.signingProfileVersionArns'"),
        (
            {"AllowedPublishers": {"SigningProfileVersionArns": PUBLISHERS["SigningProfileVersionArns"] * 21}},
            "at 'allowedPublishers.signingProfileVersionArns'",
        ),
        (
            {"AllowedPublishers": {"SigningProfileVersionArns": ["mine"]}},
            "at 'allowedPublishers.signingProfileVersionArns'",
        ),
        (
            {"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Trust"}},
            "at 'codeSigningPolicies.untrustedArtifactOnDeployment'",
        ),
    ):
        broken_constraint(refusal(api.create_code_signing_config, **{**given, **broken}), text)
    reserved = refusal(api.create_code_signing_config, **given, Tags={"aws:mine": "x"})
    assert reserved == invalid("Tag keys that begin with aws: are reserved.")
    broken_constraint(refusal(api.get_code_signing_config, CodeSigningConfigArn="csc"), "at 'codeSigningConfigArn'")
    for operation in (api.list_code_signing_configs, partial(api.list_functions_by_code_signing_config, **_absent())):
        broken_constraint(refusal(operation, MaxItems=10_001), "at 'maxItems'")


def _absent() -> dict[str, str]:
    return {"CodeSigningConfigArn": ABSENT}


def test_configurations_and_their_functions_are_listed_by_pages(server: Any) -> None:
    api = clients(server, account="777788889999")
    arns = sorted(create(api) for _ in range(3))
    listed = shape(api.list_code_signing_configs())
    assert [config["CodeSigningConfigArn"] for config in listed["CodeSigningConfigs"]] == arns
    assert (
        listed["CodeSigningConfigs"][0]
        == api.get_code_signing_config(CodeSigningConfigArn=arns[0])["CodeSigningConfig"]
    )
    first = api.list_code_signing_configs(MaxItems=2)
    rest = shape(api.list_code_signing_configs(Marker=first["NextMarker"]))
    assert [config["CodeSigningConfigArn"] for config in rest["CodeSigningConfigs"]] == arns[2:]
    assert "NextMarker" not in rest

    named = {"CodeSigningConfigArn": arns[0]}
    assert shape(api.list_functions_by_code_signing_config(**named)) == {"FunctionArns": []}
    functions = [make_function(api, name, **named) for name in ("b", "a", "c")]
    functions.sort()
    assert shape(api.list_functions_by_code_signing_config(**named)) == {"FunctionArns": functions}
    first = api.list_functions_by_code_signing_config(**named, MaxItems=2)
    assert first["FunctionArns"] == functions[:2]
    rest = shape(api.list_functions_by_code_signing_config(**named, Marker=first["NextMarker"]))
    assert rest == {"FunctionArns": functions[2:]}
    # A function that is gone has none.
    api.delete_function(FunctionName="b")
    assert api.list_functions_by_code_signing_config(**named)["FunctionArns"] == [functions[0], functions[2]]
    for name in ("a", "c"):
        api.delete_function(FunctionName=name)
    for arn in arns:
        api.delete_code_signing_config(CodeSigningConfigArn=arn)
    assert shape(api.list_code_signing_configs()) == {"CodeSigningConfigs": []}


def test_a_function_is_given_a_configuration_and_loses_it(api: Any, function: str) -> None:
    first, second = create(api), create(api)
    assert shape(api.get_function_code_signing_config(FunctionName=function)) == {}
    for arn in (first, second):
        put = api.put_function_code_signing_config(FunctionName=ARNS + function, CodeSigningConfigArn=arn)
        assert status(put) == 200
        assert shape(put) == {"CodeSigningConfigArn": arn, "FunctionName": function}
        assert shape(api.get_function_code_signing_config(FunctionName=function)) == shape(put)
    assert api.list_functions_by_code_signing_config(CodeSigningConfigArn=first)["FunctionArns"] == []
    assert refusal(api.delete_code_signing_config, CodeSigningConfigArn=second) == conflict(
        f"The code signing configuration {second} is in use by a function. "
        "Remove it from its functions, then delete it."
    )
    for _ in range(2):
        deleted = api.delete_function_code_signing_config(FunctionName=function)
        assert (status(deleted), shape(deleted)) == (204, {})
    assert shape(api.get_function_code_signing_config(FunctionName=function)) == {}
    for arn in (first, second):
        api.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_what_is_not_there_is_told(api: Any, function: str) -> None:
    arn = create(api)
    missing = not_found(f"Function not found: {ARNS}absent")
    put = api.put_function_code_signing_config
    assert refusal(put, FunctionName="absent", CodeSigningConfigArn=arn) == missing
    assert refusal(api.get_function_code_signing_config, FunctionName="absent") == missing
    assert refusal(api.delete_function_code_signing_config, FunctionName="absent") == missing
    assert refusal(put, FunctionName=function, CodeSigningConfigArn=ABSENT) == unknown(ABSENT)
    assert refusal(partial(make_function, api, unique("new")), CodeSigningConfigArn=ABSENT) == unknown(ABSENT)
    assert refusal(put, FunctionName=f"{function}:1", CodeSigningConfigArn=arn) == invalid(QUALIFIED)
    for operation in (api.get_function_code_signing_config, api.delete_function_code_signing_config):
        assert refusal(operation, FunctionName=f"{function}:1") == invalid(QUALIFIED)
    api.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_under_enforce_no_code_is_deployed_and_under_warn_it_is(api: Any, function: str) -> None:
    arn = create(api, CodeSigningPolicies=ENFORCE)
    layer = api.publish_layer_version(LayerName=unique("layer"), Content={"ZipFile": archive({"file": ""})})[
        "LayerVersionArn"
    ]
    name = unique("new")
    assert refusal(partial(make_function, api, name), CodeSigningConfigArn=arn) == unverified(ARNS + name)
    assert refusal(api.get_function, FunctionName=name).status == 404

    # What the function has stays, and goes on running.
    api.put_function_code_signing_config(FunctionName=function, CodeSigningConfigArn=arn)
    before = api.get_function_configuration(FunctionName=function)
    assert api.invoke(FunctionName=function)["StatusCode"] == 200
    code = {"FunctionName": function, "ZipFile": zipped("def handler(event, context): return 2\n")}
    for dry in (True, False):
        assert refusal(api.update_function_code, **code, DryRun=dry) == unverified(ARNS + function)
    # A member that looks like a signature is one that can not be verified.
    signed = {**code, "ZipFile": archive({"app.py": "", "META-INF/signature_1.pem": "signature"})}
    assert refusal(api.update_function_code, **signed) == unverified(ARNS + function)
    assert refusal(api.update_function_configuration, FunctionName=function, Layers=[layer]) == unverified(layer)
    assert shape(api.get_function_configuration(FunctionName=function)) == shape(before)
    reconfigure(api, function, Timeout=7, Layers=[])

    api.update_code_signing_config(
        CodeSigningConfigArn=arn, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"}
    )
    api.update_function_code(**code)
    settle(api, function)
    reconfigure(api, function, Layers=[layer])
    assert api.invoke(FunctionName=function)["Payload"].read() == b"2"
    make_function(api, name, CodeSigningConfigArn=arn)
    assert api.get_function_code_signing_config(FunctionName=name)["CodeSigningConfigArn"] == arn
    api.delete_function(FunctionName=name)
    api.delete_function_code_signing_config(FunctionName=function)
    api.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_a_configuration_has_tags(api: Any) -> None:
    arn = create(api, Tags={"team": "blue"})
    assert api.list_tags(Resource=arn)["Tags"] == {"team": "blue"}
    api.tag_resource(Resource=arn, Tags={"stage": "test"})
    api.untag_resource(Resource=arn, TagKeys=["team"])
    assert api.list_tags(Resource=arn)["Tags"] == {"stage": "test"}
    api.update_code_signing_config(CodeSigningConfigArn=arn, Description="new")
    assert api.list_tags(Resource=arn)["Tags"] == {"stage": "test"}
    api.delete_code_signing_config(CodeSigningConfigArn=arn)
    assert refusal(api.list_tags, Resource=arn).status == 404


def test_configurations_are_those_of_one_account_and_region(server: Any, api: Any, function: str) -> None:
    arn = create(api)
    for elsewhere in (clients(server, account=OTHER_ACCOUNT), clients(server, region="eu-west-1")):
        assert refusal(elsewhere.get_code_signing_config, CodeSigningConfigArn=arn).status == 404
        listed = elsewhere.list_code_signing_configs()["CodeSigningConfigs"]
        assert arn not in [config["CodeSigningConfigArn"] for config in listed]
        put = partial(elsewhere.put_function_code_signing_config, FunctionName=function)
        assert refusal(put, CodeSigningConfigArn=arn) == unknown(arn)
    api.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_configurations_and_who_has_them_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    api = clients(crashing)
    arn = create(api, Description="kept", Tags={"team": "blue"})
    made = shape(api.get_code_signing_config(CodeSigningConfigArn=arn))
    make_function(api, "f", CodeSigningConfigArn=arn)
    crashing.kill()
    crashing.start()
    try:
        api = clients(crashing)
        assert shape(api.get_code_signing_config(CodeSigningConfigArn=arn)) == made
        assert api.list_tags(Resource=arn)["Tags"] == {"team": "blue"}
        assert api.get_function_code_signing_config(FunctionName="f")["CodeSigningConfigArn"] == arn
    finally:
        assert crashing.stop() == 0
