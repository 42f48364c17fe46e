import pytest

from lambent.core.event_filter import is_pattern


@pytest.mark.parametrize(
    "text",
    [
        '{"body": ["hello"]}',
        '{"body": {"order": {"city": ["Lyon", "Turin", null, "", 7, 1.5, true]}}}',
        '{"data": {"n": [{"numeric": ["=", 100]}]}, "partitionKey": ["1"]}',
        '{"n": [{"numeric": [">", 10, "<=", 20]}]}',
        '{"n": [{"anything-but": ["a", "b"]}]}',
        '{"n": [{"anything-but": 4}]}',
        '{"n": [{"anything-but": {"prefix": "a"}}]}',
        '{"n": [{"prefix": "a"}, {"suffix": ".png"}, {"equals-ignore-case": "X"}, "plain"]}',
        '{"n": [{"exists": false}]}',
        '{"$or": [{"a": ["1"]}, {"b": {"c": ["2"]}}], "d": [null]}',
    ],
)
def test_what_the_syntax_knows_is_a_pattern(text: str) -> None:
    assert is_pattern(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        '"a"',
        '{"a": "b"}',
        '{"a": 1}',
        '{"a": null}',
        '{"a": []}',
        '{"a": {}}',
        '{"a": [["b"]]}',
        '{"a": [{}]}',
        '{"a": [{"prefix": "a", "suffix": "b"}]}',
        '{"a": [{"unknown": "a"}]}',
        '{"a": [{"prefix": 1}]}',
        '{"a": [{"exists": "true"}]}',
        '{"a": [{"numeric": []}]}',
        '{"a": [{"numeric": ["=", "1"]}]}',
        '{"a": [{"numeric": ["~", 1]}]}',
        '{"a": [{"numeric": [1, "="]}]}',
        '{"a": [{"numeric": ["=", true]}]}',
        '{"a": [{"numeric": [">", 20, "<", 10]}]}',
        '{"a": [{"numeric": ["<", 1, ">", 2]}]}',
        '{"a": [{"numeric": [">", 1, "<", 2, "<", 3]}]}',
        '{"a": [{"numeric": [[], 1]}]}',
        '{"a": [{"anything-but": []}]}',
        '{"a": [{"anything-but": ["a", 1]}]}',
        '{"a": [{"anything-but": {"suffix": "b"}}]}',
        '{"a": [{"anything-but": {"prefix": 1}}]}',
        '{"$or": [{"a": ["1"]}]}',
        '{"$or": {"a": ["1"]}}',
        '{"$or": [{"a": ["1"]}, {}]}',
        '{"a":' * 3000 + '["1"]' + "}" * 3000,
        '{"a":' * 101 + '["1"]' + "}" * 101,
    ],
)
def test_everything_else_is_none(text: str) -> None:
    assert not is_pattern(text)
