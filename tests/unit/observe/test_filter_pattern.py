"""CloudWatch Logs filter patterns."""

import pytest

from lambent.observe.filter_pattern import InvalidFilterPattern, compile_pattern


def fits(pattern: str, event: str) -> bool:
    matches = compile_pattern(pattern)
    return matches is None or matches(event)


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ("", "anything", True),
        ("  ", "anything", True),
        ("ERROR", "[ERROR] it broke", True),
        ("ERROR", "an error", False),
        ("ERROR broke", "[ERROR] it broke", True),
        ("ERROR mended", "[ERROR] it broke", False),
        ('"it broke"', "[ERROR] it broke", True),
        ('"broke it"', "[ERROR] it broke", False),
        (r'"say \"hi\""', 'say "hi"', True),
        ("ERROR -broke", "[ERROR] it broke", False),
        ("ERROR -broke", "[ERROR] it held", True),
        ('-"it broke"', "it broke", False),
        ('-"it broke"', "it held", True),
        ("?ERROR ?WARN", "[WARN] careful", True),
        ("?ERROR ?WARN", "[INFO] fine", False),
        ('?ERROR ?"not fine"', "not fine", True),
        ("INFO ?ERROR", "[INFO] fine", True),
        ("INFO ?ERROR", "[ERROR] broke", False),
    ],
)
def test_terms(pattern: str, event: str, expected: bool) -> None:
    assert fits(pattern, event) is expected


EVENT = (
    '{"level":"ERROR","code":404,"ratio":0.5,"ok":false,"none":null,"user":{"name":"ann-7","tags":["a","b"]},'
    '"items":[{"id":1},{"id":2}],"with space":"x","big":1e3}'
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.level = "ERROR" }', True),
        ("{ $.level = ERROR }", True),
        ("{$.level=ERROR}", True),
        ('{ $.level = "INFO" }', False),
        ('{ $.level != "INFO" }', True),
        ('{ $.level = "ERR*" }', True),
        ('{ $.level = "*ROR" }', True),
        ('{ $.level = "E*O*" }', True),
        ('{ $.level = "E*X*" }', False),
        ('{ $.level = "*" }', True),
        ("{ $.user.name = ann-* }", True),
        ("{ $.code = 404 }", True),
        ("{ $.code = 4* }", False),
        ("{ $.code != 404 }", False),
        ("{ $.code > 400 && $.code < 500 }", True),
        ("{ $.code >= 404 && $.code <= 403 }", False),
        ("{ $.ratio = .5 }", True),
        ("{ $.big = 1000 }", True),
        ("{ $.code < -1 || $.ratio >= 0.5 }", True),
        ('{ $.level = "INFO" || $.level = "ERROR" && $.code = 1 }', False),
        ('{ ($.level = "INFO" || $.level = "ERROR") && $.code = 404 }', True),
        ("{ $.ok IS FALSE }", True),
        ("{ $.ok is true }", False),
        ("{ $.none IS NULL }", True),
        ("{ $.level IS NULL }", False),
        ("{ $.missing IS NULL }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.none NOT EXISTS }", False),
        ('{ $.missing = "x" }', False),
        ('{ $.missing != "x" }', False),
        ('{ $.user.tags[1] = "b" }', True),
        ('{ $.user.tags[2] = "b" }', False),
        ("{ $.items[*].id = 2 }", True),
        ("{ $.items[*].id = 3 }", False),
        ("{ $['with space'] = x }", True),
        ('{ $["with space"] = "x" }', True),
    ],
)
def test_patterns_for_json_events(pattern: str, expected: bool) -> None:
    assert fits(pattern, EVENT) is expected


@pytest.mark.parametrize("event", ["not json", '{"level":"ERROR"', '["ERROR"]', "", "3", '{"level":' + "[" * 100_000])
def test_a_json_pattern_never_fits_what_is_not_an_object(event: str) -> None:
    assert not fits('{ $.level != "INFO" }', event)


@pytest.mark.parametrize(
    "pattern",
    [
        "{",
        "{}",
        "{ $.a }",
        "{ $.a = }",
        "{ $.a = 1",
        "{ $.a = 1 } more",
        "{ a = 1 }",
        "{ $.a ~ 1 }",
        '{ $.a > "x" }',
        "{ $.a IS MAYBE }",
        "{ ($.a = 1 }",
        "{ $.a = 1 && }",
        "{ " + "(" * 200 + "$.a = 1" + ")" * 200 + " }",
        '"open',
        "[ip, user]",
        "%regex%",
        "semi;colon",
    ],
)
def test_a_pattern_that_can_not_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidFilterPattern):
        compile_pattern(pattern)


def test_many_wildcards_do_not_make_a_search_slow() -> None:
    pattern = '{ $.a = "' + "a*" * 100 + 'b" }'
    assert not fits(pattern, '{"a":"' + "a" * 200_000 + '"}')


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("semi;colon", "Invalid filter pattern: Invalid character(s) in term 'semi;colon'"),
        ("{ $.a = 1", "If a filter pattern starts with '{' it must end with '}'"),
    ],
)
def test_the_texts_of_refusals_are_those_of_cloudwatch(pattern: str, message: str) -> None:
    with pytest.raises(InvalidFilterPattern) as raised:
        compile_pattern(pattern)
    assert str(raised.value) == message
