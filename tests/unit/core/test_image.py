"""How a container image is named."""

import pytest

from lambent.core.errors import InvalidParameterValueException
from lambent.core.function import Image
from lambent.core.image import read_image_uri

REGISTRY = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "0a" * 32


@pytest.mark.parametrize(
    ("uri", "digest"),
    [
        (f"{REGISTRY}/app", None),
        (f"{REGISTRY}/team/app_one/a-b.c:v1.2_3-x", None),
        (f"{REGISTRY}/app@sha256:{DIGEST}", DIGEST),
        (f"{REGISTRY}/app:v1@sha256:{DIGEST}", DIGEST),
        ("111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app:1", None),
        ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/app:1", None),
        ("111122223333.dkr-ecr.eu-west-1.on.aws/app:1", None),
    ],
)
def test_an_image_in_ecr_is_known_by_its_uri(uri: str, digest: str | None) -> None:
    assert read_image_uri(uri) == Image(uri, digest)


@pytest.mark.parametrize(
    "uri",
    [
        "app",
        "docker.io/library/app:1",
        f"{REGISTRY}/",
        f"{REGISTRY}/App:1",
        f"{REGISTRY}/app:",
        f"{REGISTRY}/app:-v",
        f"{REGISTRY}/app:{'t' * 129}",
        f"{REGISTRY}/{'a' * 257}:1",
        f"{REGISTRY}/app@sha256:0a",
        f"{REGISTRY}/a//b",
        f"{REGISTRY}/app:1\n",
        "1.dkr.ecr.us-east-1.amazonaws.com/app:1",
    ],
)
def test_what_names_no_image_in_ecr_is_refused(uri: str) -> None:
    with pytest.raises(InvalidParameterValueException) as raised:
        read_image_uri(uri)
    assert raised.value.message == f"Source image {uri} is not valid. Provide a valid source image."
