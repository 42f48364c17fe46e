import pytest

from lambent.core.layer import (
    LARGEST_NUMBER,
    LayerName,
    layer_arn,
    merged_digest,
    read_layer_arn,
    read_layer_version_arn,
)

LAYER = LayerName("123456789012", "us-gov-west-1", "shared")
ARN = "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:layer:shared"


def test_arns_are_read_as_they_are_written() -> None:
    assert layer_arn(LAYER) == ARN
    assert layer_arn(LAYER, 3) == f"{ARN}:3"
    assert read_layer_arn(ARN) == LAYER
    assert read_layer_version_arn(f"{ARN}:3") == (LAYER, 3)
    assert read_layer_version_arn(f"{ARN}:0") == (LAYER, 0)


@pytest.mark.parametrize(
    "text",
    ["shared", f"{ARN}:", f"{ARN}:x", "arn:aws:lambda:::awslayer:Amazon", ARN + "\n", ARN.replace("-us-gov:", ":")],
)
def test_what_is_no_arn_of_a_layer_is_none(text: str) -> None:
    assert read_layer_arn(text) is None
    assert read_layer_version_arn(text) is None


def test_the_two_kinds_of_arn_are_told_apart() -> None:
    assert read_layer_arn(f"{ARN}:3") is None
    assert read_layer_version_arn(ARN) is None


def test_a_number_of_any_length_is_read() -> None:
    assert read_layer_version_arn(f"{ARN}:{LARGEST_NUMBER}") == (LAYER, LARGEST_NUMBER)
    assert read_layer_version_arn(f"{ARN}:{'0' * 5000}7") == (LAYER, 7)
    assert read_layer_version_arn(f"{ARN}:{'9' * 5000}") == (LAYER, LARGEST_NUMBER + 1)


def test_the_digest_of_several_layers_tells_which_and_in_which_order() -> None:
    one, two = "1" * 64, "2" * 64
    assert merged_digest([one]) == one
    assert len({merged_digest([one, two]), merged_digest([two, one]), merged_digest([one, one]), one, two}) == 5
    assert len(merged_digest([one, two])) == 64
