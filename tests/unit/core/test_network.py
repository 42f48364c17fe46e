"""Which network a function gets, and what the settings may say of one."""

from dataclasses import dataclass
from typing import Any

import pytest

from lambent.core.function import FunctionName
from lambent.core.network import LOOPBACK, Destination, Network, NetworkMode, Networks, networks

CRAWLER = FunctionName("111122223333", "us-east-1", "crawler")
NEUTRAL = FunctionName("111122223333", "us-east-1", "neutral")
ARN = "arn:aws:lambda:us-east-1:111122223333:function:crawler"
INTERNET = Network(NetworkMode.INTERNET)


@dataclass(frozen=True)
class Written:
    """A table of the settings file."""

    mode: str = "internet"
    allow: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()


def allowing(*allow: str, **members: Any) -> Written:
    return Written("allow", allow, **members)


def vpc(subnets: list[str], groups: list[str]) -> dict[str, object]:
    return {"VpcConfig": {"SubnetIds": subnets, "SecurityGroupIds": groups, "VpcId": ""}}


def reached(network: Network) -> tuple[str, ...]:
    return tuple(one.block for one in network.allow)


def test_a_function_has_loopback_only_unless_it_is_given_more() -> None:
    assert networks("loopback", {}).of(CRAWLER, {}) == LOOPBACK
    assert not networks("loopback", {}).reach_out()


def test_the_internet_needs_no_table() -> None:
    made = networks("internet", {})
    assert made.of(CRAWLER, {}) == INTERNET
    assert made.reach_out()


@pytest.mark.parametrize("name", ["crawler", ARN])
def test_a_network_names_the_functions_that_it_is_for(name: str) -> None:
    made = networks("loopback", {"out": Written(functions=(name,))})
    assert made.of(CRAWLER, {}) == INTERNET
    assert made.of(NEUTRAL, {}) == LOOPBACK
    assert made.reach_out()


def test_an_arn_is_of_one_account_and_a_name_of_all() -> None:
    elsewhere = FunctionName("444455556666", "eu-west-1", "crawler")
    assert networks("loopback", {"out": Written(functions=("crawler",))}).of(elsewhere, {}) == INTERNET
    assert networks("loopback", {"out": Written(functions=(ARN,))}).of(elsewhere, {}) == LOOPBACK


def test_the_name_of_a_function_counts_for_more_than_its_vpc() -> None:
    made = networks(
        "loopback",
        {"database": allowing("10.0.0.1", subnets=("subnet-a",)), "out": Written(functions=("crawler",))},
    )
    assert made.of(CRAWLER, vpc(["subnet-a"], ["sg-1"])) == INTERNET
    assert reached(made.of(NEUTRAL, vpc(["subnet-a"], ["sg-1"]))) == ("10.0.0.1/32",)


@pytest.mark.parametrize(
    ("subnets", "groups", "chosen"),
    [
        (["subnet-a"], ["sg-1"], "10.0.0.1/32"),
        (["subnet-x", "subnet-b"], ["sg-9", "sg-1"], "10.0.0.1/32"),
        (["subnet-a"], ["sg-2"], "10.0.0.2/32"),
        (["subnet-c"], ["sg-3"], "10.0.0.3/32"),
        (["subnet-c"], ["sg-1"], None),
        ([], [], None),
    ],
)
def test_a_vpc_configuration_chooses_the_first_network_that_has_one_of_each_kind(
    subnets: list[str], groups: list[str], chosen: str | None
) -> None:
    made = networks(
        "loopback",
        {
            "one": allowing("10.0.0.1", subnets=("subnet-a", "subnet-b"), security_groups=("sg-1",)),
            "two": allowing("10.0.0.2", subnets=("subnet-a",)),
            "three": allowing("10.0.0.3", security_groups=("sg-3",)),
            "unasked": allowing("10.0.0.4", functions=("other",)),
        },
    )
    network = made.of(CRAWLER, vpc(subnets, groups))
    assert reached(network) == (() if chosen is None else (chosen,))
    assert (network == LOOPBACK) is (chosen is None)


def test_a_network_of_the_file_can_be_everybodys_and_takes_the_place_of_a_built_in_one() -> None:
    made = networks("internet", {"internet": Written(nameservers=("10.0.0.2",))})
    assert made.of(CRAWLER, {}) == Network(NetworkMode.INTERNET, nameservers=("10.0.0.2",))


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("10.0.0.0/8", Destination("10.0.0.0/8")),
        ("10.0.0.7", Destination("10.0.0.7/32")),
        ("10.0.0.7:5432", Destination("10.0.0.7/32", "tcp", 5432)),
        ("10.0.0.0/8:514/udp", Destination("10.0.0.0/8", "udp", 514)),
        ("10.0.0.0/8:514/tcp", Destination("10.0.0.0/8", "tcp", 514)),
        ("0.0.0.0/0:443", Destination("0.0.0.0/0", "tcp", 443)),
    ],
)
def test_a_destination_is_a_network_with_or_without_a_port(text: str, means: Destination) -> None:
    made = networks("some", {"some": allowing(text)})
    assert made == Networks(Network(NetworkMode.ALLOW, (means,)), made.named)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (Written("none"), "mode must be one of loopback, internet, allow, not 'none'"),
        (Written("allow"), "allow must say what is reached"),
        (Written("loopback", ("10.0.0.1",)), "neither allow nor nameservers"),
        (allowing("db.example:5432"), "'db.example:5432' is not an IPv4 address or network"),
        (allowing("10.0.0.1/8"), "has host bits set"),
        (allowing("::1"), "is not an IPv4 address"),
        (allowing("10.0.0.1:"), "needs a port from 1 to 65535"),
        (allowing("10.0.0.1:70000"), "needs a port from 1 to 65535"),
        (allowing("10.0.0.1:53/icmp"), "neither tcp nor udp"),
        (allowing("10.0.0.1/32; accept"), "is not an IPv4 address or network"),
        (allowing("169.254.169.254:80"), "functions never reach"),
        (allowing("127.0.0.1"), "functions never reach"),
        (Written(nameservers=("127.0.0.53",)), "the name server 127.0.0.53 can not be reached"),
        (Written(nameservers=("one.one",)), "'one.one'"),
    ],
)
def test_a_network_that_makes_no_sense_is_refused_under_its_name(table: Written, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"^\[networks\.bad\]: ") as refusal:
        networks("loopback", {"bad": table})
    assert complaint in str(refusal.value)


def test_a_default_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="network must be one of loopback, internet, database, not 'databse'"):
        networks("databse", {"database": allowing("10.0.0.1")})


def test_a_function_in_two_networks_is_refused() -> None:
    tables = {"one": Written(functions=("crawler",)), "two": allowing("10.0.0.1", functions=("crawler", "other"))}
    with pytest.raises(ValueError, match="in more than one network: crawler"):
        networks("loopback", tables)
