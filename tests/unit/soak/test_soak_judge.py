"""The judge of a soak: what it calls a leak, and what it does not."""

from dataclasses import fields, replace

import pytest

from lambent.testing.soak.gauges import COUNTS, Reading
from lambent.testing.soak.judge import MEMORY, Growth, Rest, leaks

FIRST = Reading(**{field.name: 100 for field in fields(Reading)})
LIVES = range(0, 1000, 100)
BOUND = 100.0


def rests(**gauges: list[int]) -> list[Rest]:
    return [
        Rest(lives, True, replace(FIRST, **{name: values[number] for name, values in gauges.items()}))
        for number, lives in enumerate(LIVES)
    ]


def test_what_stays_as_it_was_is_no_leak() -> None:
    assert leaks(rests(), BOUND) == []


@pytest.mark.parametrize("gauge", COUNTS)
@pytest.mark.parametrize(
    ("values", "amount"),
    [
        ([100, *[101] * 9], 1),
        ([*[100] * 9, 101], 1),
        ([*[100] * 4, 103, *[100] * 5], 3),
        ([*[100] * 9, 98], -2),
    ],
    ids=["at first", "at last", "for a while", "less than there was"],
)
def test_a_count_that_ever_differs_is_told_with_the_largest_difference(
    gauge: str, values: list[int], amount: int
) -> None:
    assert leaks(rests(**{gauge: values}), BOUND) == [Growth(gauge, amount)]


@pytest.mark.parametrize("gauge", MEMORY)
def test_memory_that_grows_by_more_than_the_bound_with_each_life_is_a_leak_under_noise(gauge: str) -> None:
    noise = [0, 7, -5, 3, 9, -8, 2, -4, 6, 1]
    values = [1000 + 20 * number + noise[number] for number in range(10)]  # 20 KiB in 100 lives: 205 bytes each
    (leak,) = leaks(rests(**{gauge: values}), BOUND)
    assert leak.gauge == gauge
    assert 150 < leak.amount < 260


@pytest.mark.parametrize("gauge", MEMORY)
@pytest.mark.parametrize(
    "values",
    [
        [1000, 1006, 995, 1003, 1009, 992, 1002, 996, 1006, 1001],
        [1000, 1000, 1000, 1000, 5000, 1000, 1000, 1000, 1000, 1000],
        [1000, 1500, *[1500] * 8],
        [1000 - 50 * number for number in range(10)],
    ],
    ids=["noise", "one odd reading", "one step", "less and less"],
)
def test_memory_without_a_trend_is_no_leak(gauge: str, values: list[int]) -> None:
    assert leaks(rests(**{gauge: values}), BOUND) == []


def test_memory_of_helpers_counts_from_when_they_are_the_same_to_the_end() -> None:
    grown = rests(helper_memory_kib=[1000, 2000, 3000, 4000, *[1000] * 6])
    settled = [Rest(rest.lives, number >= 4, rest.reading) for number, rest in enumerate(grown)]
    assert leaks(settled, BOUND) == []
    assert leaks(rests(helper_memory_kib=[*[1000] * 4, *range(1000, 1600, 100)]), BOUND)
