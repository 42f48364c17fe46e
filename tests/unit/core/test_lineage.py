from hypothesis import given
from hypothesis import strategies as st

from lambent.core import lineage
from lambent.core.function import FunctionName
from lambent.core.limits import RECURSION_MAX

F, G = (FunctionName("111122223333", "us-east-1", name) for name in "fg")
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0"


def handed_on(header: str, function: FunctionName) -> str:
    mark = lineage.mark_of(function)
    return lineage.extended(header, mark, lineage.passes(header, mark))


def test_a_chain_is_a_loop_when_it_comes_by_for_the_seventeenth_time():
    header, runs = TRACE, 0
    while not lineage.is_loop(lineage.passes(header, lineage.mark_of(F))):
        header = handed_on(handed_on(header, F), G)
        runs += 1
    assert runs == RECURSION_MAX == 16
    assert header.startswith(TRACE + ";Lineage=")


def test_functions_of_one_name_elsewhere_are_other_functions():
    names = [F, FunctionName("111122223333", "eu-west-1", "f"), FunctionName("444455556666", "us-east-1", "f")]
    assert len({lineage.mark_of(name) for name in names}) == 3


def test_what_others_have_marked_is_handed_on():
    header = handed_on(f"{TRACE};Lineage=a87bd80c:1|68fd508a:5;Self=1", F)
    assert header == f"{TRACE};Self=1;Lineage=a87bd80c:1|68fd508a:5|{lineage.mark_of(F)}:1"


def test_a_long_chain_forgets_where_it_began_and_never_the_loop_that_it_is_in():
    header = TRACE
    for number in range(200):
        header = handed_on(header, FunctionName("1", "r", f"step-{number}"))
        header = handed_on(header, F)
        assert len(header) < 512
    assert lineage.passes(header, lineage.mark_of(F)) == 200


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_whatever_the_header_says_the_function_is_counted_once_more(header: str):
    mark = lineage.mark_of(F)
    before = lineage.passes(header, mark)
    assert lineage.passes(lineage.extended(header, mark, before), mark) == before + 1


def test_what_is_no_lineage_counts_for_nothing():
    mark = lineage.mark_of(F)
    for told in (f"{mark}", f"{mark}:", f"{mark}:-1", f"{mark}:99999999", ":3", f"{mark}:²"):
        assert lineage.passes(f"{TRACE};Lineage={told}", mark) == 0
