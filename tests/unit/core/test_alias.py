import random

import pytest

from lambent.core.alias import Alias, Routing, choose_version
from lambent.core.function import FunctionName

FUNCTION = FunctionName("123456789012", "eu-west-1", "echo")


def alias(routing: Routing | None) -> Alias:
    return Alias(FUNCTION, "live", "1", "r1", routing=routing)


def never() -> float:
    raise AssertionError("there is no choice to make")


def test_an_alias_of_one_version_runs_it_without_asking_chance() -> None:
    assert choose_version(alias(None), never) == "1"


@pytest.mark.parametrize(
    ("weight", "draw", "chosen"),
    [
        (0.0, 0.0, "1"),
        (0.25, 0.0, "2"),
        (0.25, 0.2499, "2"),
        (0.25, 0.25, "1"),
        (0.25, 0.9999, "1"),
        (1.0, 0.9999999999999999, "2"),
    ],
)
def test_the_second_version_gets_its_weight_of_the_draws_and_the_first_one_the_rest(
    weight: float, draw: float, chosen: str
) -> None:
    assert choose_version(alias(Routing("2", weight)), lambda: draw) == chosen


def test_many_draws_come_out_as_the_weights_say() -> None:
    chance = random.Random(7)
    weighted = alias(Routing("2", 0.1))
    second = sum(choose_version(weighted, chance.random) == "2" for _ in range(10_000))
    assert 900 < second < 1100
