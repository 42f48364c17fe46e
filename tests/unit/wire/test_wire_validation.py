"""The texts of broken constraints, as AWS prints them."""

from typing import Any

import pytest

from lambent.core.errors import ValidationException
from lambent.wire.catalog import service
from lambent.wire.javaregex import Untranslatable, compile_java
from lambent.wire.validate import validate

FAILED = "failed to satisfy constraint"
FUNCTION = {"FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Code": {}}
QUALIFIER = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"


def message(name: str, params: dict[str, Any], of: str = "lambda") -> str:
    with pytest.raises(ValidationException) as caught:
        validate(service(of).operations[name], params)
    assert caught.value.message is not None
    return caught.value.message


def accepts(name: str, params: dict[str, Any], of: str = "lambda") -> bool:
    validate(service(of).operations[name], params)
    return True


def test_what_is_right_passes() -> None:
    assert accepts("Invoke", {"FunctionName": "f", "InvocationType": "Event", "Qualifier": "$LATEST"})
    assert accepts("CreateFunction", FUNCTION)


def test_a_missing_member_is_null() -> None:
    assert message("Invoke", {}) == (
        f"1 validation error detected: Value null at 'functionName' {FAILED}: Member must not be null"
    )


def test_length_comes_before_pattern_and_all_are_told() -> None:
    name = "x" * 128 + "!"
    assert message("GetFunction", {"FunctionName": "f", "Qualifier": name}) == (
        f"2 validation errors detected: "
        f"Value '{name}' at 'qualifier' {FAILED}: Member must have length less than or equal to 128; "
        f"Value '{name}' at 'qualifier' {FAILED}: Member must satisfy regular expression pattern: {QUALIFIER}"
    )


def test_an_empty_value_is_too_short() -> None:
    expected = f"Value '' at 'functionName' {FAILED}: Member must have length greater than or equal to 1"
    assert expected in message("GetFunction", {"FunctionName": ""})


def test_a_name_longer_than_the_limit_of_creation_is_for_control_to_judge() -> None:
    assert accepts("GetFunction", {"FunctionName": "x" * 65})
    assert accepts("DeleteFunction", {"FunctionName": "x" * 300})
    assert "equal to 140" in message("CreateFunction", {**FUNCTION, "FunctionName": "x" * 141})


def test_numbers_are_printed_as_whole() -> None:
    assert message("CreateFunction", {**FUNCTION, "MemorySize": 127}) == (
        f"1 validation error detected: Value '127' at 'memorySize' {FAILED}: "
        "Member must have value greater than or equal to 128"
    )


@pytest.mark.parametrize(
    ("member", "path", "most"), [("MemorySize", "memorySize", 10_240), ("Timeout", "timeout", 900)]
)
def test_sizes_end_at_the_quota_and_not_at_the_models_maximum(member: str, path: str, most: int) -> None:
    assert accepts("CreateFunction", {**FUNCTION, member: most})
    assert message("UpdateFunctionConfiguration", {"FunctionName": "f", member: most + 1}) == (
        f"1 validation error detected: Value '{most + 1}' at '{path}' {FAILED}: "
        f"Member must have value less than or equal to {most}"
    )


def test_an_enum_prints_its_values() -> None:
    assert message("Invoke", {"FunctionName": "f", "LogType": "Head"}) == (
        f"1 validation error detected: Value 'Head' at 'logType' {FAILED}: "
        "Member must satisfy enum value set: [None, Tail]"
    )


def test_a_runtime_is_for_control_to_judge() -> None:
    assert accepts("CreateFunction", {**FUNCTION, "Runtime": "cobol85"})


def test_a_list_prints_in_brackets() -> None:
    assert message("CreateFunction", {**FUNCTION, "Architectures": ["x86_64", "arm64"]}) == (
        f"1 validation error detected: Value '[x86_64, arm64]' at 'architectures' {FAILED}: "
        "Member must have length less than or equal to 1"
    )


def test_elements_are_judged_together() -> None:
    assert message("CreateFunction", {**FUNCTION, "Architectures": ["X86_64"]}) == (
        f"1 validation error detected: Value '[X86_64]' at 'architectures' {FAILED}: Member must satisfy constraint: "
        "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
    )


def test_among_what_holds_for_elements_is_a_length_of_nothing() -> None:
    """As CreateFunctionUrlConfig shows it; alone, no value breaks it."""
    cors = {"FunctionName": "f", "AuthType": "NONE", "Cors": {"AllowMethods": ["OPTIONS"]}}
    assert message("CreateFunctionUrlConfig", cors) == (
        f"1 validation error detected: Value '[OPTIONS]' at 'cors.allowMethods' {FAILED}: "
        "Member must satisfy constraint: ["
        "Member must have length less than or equal to 6, Member must have length greater than or equal to 0, "
        "Member must satisfy regular expression pattern: .*, Member must not be null]"
    )


def test_a_structure_prints_all_its_members() -> None:
    mount = {"Arn": "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0"}
    mount["LocalMountPath"] = "/mnt/a"
    shown = f"FileSystemConfig(arn={mount['Arn']}, localMountPath=/mnt/a, s3FilesConfig=null)"
    assert message("CreateFunction", {**FUNCTION, "FileSystemConfigs": [mount, mount]}) == (
        f"1 validation error detected: Value '[{shown}, {shown}]' at 'fileSystemConfigs' {FAILED}: "
        "Member must have length less than or equal to 1"
    )


def test_a_null_element_prints_as_null() -> None:
    assert "Value '[null]' at 'architectures'" in message("CreateFunction", {**FUNCTION, "Architectures": [None]})


def test_keys_and_values_of_a_map_are_judged_together() -> None:
    alias = {"FunctionName": "f", "Name": "a", "FunctionVersion": "1"}
    where = "'routingConfig.additionalVersionWeights'"
    assert message("CreateAlias", {**alias, "RoutingConfig": {"AdditionalVersionWeights": {"$LATEST": 2.0}}}) == (
        f"2 validation errors detected: "
        f"Value '{{$LATEST=2.0}}' at {where} {FAILED}: Map keys must satisfy constraint: "
        "[Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, "
        "Member must satisfy regular expression pattern: [0-9]+, Member must not be null]; "
        f"Value '{{$LATEST=2.0}}' at {where} {FAILED}: Map value must satisfy constraint: "
        "[Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, "
        "Member must not be null]"
    )


def test_what_is_sensitive_is_not_printed() -> None:
    text = message("CreateFunction", {**FUNCTION, "Environment": {"Variables": {"1": "secret"}}})
    assert "secret" not in text
    assert "Value at 'environment.variables'" in text


def test_members_of_listed_structures_have_numbered_paths() -> None:
    role = {"RoleName": "r", "AssumeRolePolicyDocument": "{}", "Tags": [{"Key": "a", "Value": "b"}, {"Value": "c"}]}
    assert message("CreateRole", role, of="iam") == (
        f"1 validation error detected: Value null at 'tags.2.member.key' {FAILED}: Member must not be null"
    )


def test_characters_beyond_the_basic_plane_count_twice_as_in_java() -> None:
    assert accepts("CreateFunction", {**FUNCTION, "Description": "\N{PILE OF POO}" * 128})
    assert "equal to 256" in message("CreateFunction", {**FUNCTION, "Description": "\N{PILE OF POO}" * 129})


def test_javas_expressions_match_as_in_java() -> None:
    assert compile_java(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("naïve Ümläut 名 ٣")
    assert not compile_java(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("tab\t")
    assert not compile_java(r"\d+").fullmatch("٣")
    assert compile_java(r"[a[b]+").fullmatch("a[b")
    assert compile_java(r"[\w-.]+").fullmatch("a-b.c")
    assert compile_java(r"a.\..").fullmatch("ab.c")
    assert not compile_java(r"a.\..").fullmatch("abcd")
    assert compile_java(r"[.]+").fullmatch("...")
    for end_of_line in ("\n", "\r", "\x85", "\u2028", "\u2029"):
        assert not compile_java(r".*").fullmatch(f"a{end_of_line}b")
    with pytest.raises(Untranslatable):
        compile_java(r"[a-z&&[^b]]")
