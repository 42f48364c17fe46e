"""What is tried by tests of their own, as it takes more than one program in a sandbox: for the table of the probes."""

from dataclasses import dataclass

_HERE = "tests/security/sandbox/"
_INVOKE = "tests/integration/invoke/"


@dataclass(frozen=True)
class Trial:
    """`test` is where it is tried: a file and a function in it. `control` tells how the same gets through, or what
    shows that it could."""

    name: str
    tries: str
    control: str
    test: tuple[str, str]


TRIALS: dict[str, tuple[Trial, ...]] = {
    "Siblings, and the process that sandboxes are forked from": (
        Trial(
            "a sibling's variables",
            "find a value that another environment was given, in the memory and the variables of all processes it sees",
            "without isolation",
            (_HERE + "test_siblings.py", "test_the_variables_of_a_sibling_are_in_no_memory_that_can_be_read"),
        ),
        Trial(
            "inherited memory",
            "find it in its own memory, in the environment that runs beside it and in the one after it",
            "the value is its own",
            (_HERE + "test_siblings.py", "test_nothing_of_a_sibling_is_in_the_memory_that_it_began_with"),
        ),
        Trial(
            "a sibling's sockets",
            "connect to them, by name and by port",
            "without isolation",
            (_HERE + "test_siblings.py", "test_the_sockets_of_a_sibling_can_not_be_reached"),
        ),
        Trial(
            "a network that was used before",
            "connect to what a program before it left listening, in the same sandbox and in the next",
            "without isolation",
            (_HERE + "test_siblings.py", "test_what_a_program_left_listening_is_not_there_for_the_next"),
        ),
        Trial(
            "shared memory left behind",
            "find System V memory that outlives the program that made it",
            "without isolation",
            (_HERE + "test_siblings.py", "test_shared_memory_that_outlives_its_maker_is_not_there_for_the_next"),
        ),
        Trial(
            "a sibling's /tmp",
            "read a file there",
            "without isolation",
            (_HERE + "test_siblings.py", "test_the_tmp_of_a_sibling_can_not_be_read"),
        ),
    ),
    "Ends": (
        Trial(
            "outliving the sandbox",
            "go on after it is destroyed, running or frozen: by a child in a session of its own, by a chain of forks "
            "each of which is gone at once, by a fork bomb, by ignoring and blocking every signal, by being stopped",
            "without isolation children and chains go on; signals end neither the deaf nor the stopped",
            (_HERE + "test_hostile_ends.py", "test_nothing_outlives_its_sandbox"),
        ),
    ),
    "Packages and layers": (
        Trial(
            "archives that reach outside",
            "have the server write or read outside of the tree: by names, by links and what lies behind them, by links "
            "of two layers, by a name that is another in the directory of the archive than where its data are",
            "somebody unpacks the same archives who trusts them",
            (_HERE + "test_hostile_packages.py", "test_the_store_refuses_it_and_touches_nothing_outside"),
        ),
        Trial(
            "a race with the unpacking",
            "replace directories by links between their check and their use",
            "without isolation",
            (_HERE + "test_hostile_packages.py", "test_nothing_changes_a_tree_between_its_check_and_its_use"),
        ),
        Trial(
            "the same package many times at once",
            "have two unpackings of one tree meet",
            "a hostile one among them is refused each time",
            (_HERE + "test_hostile_packages.py", "test_a_package_that_comes_many_times_at_once_is_one_whole_tree"),
        ),
    ),
    "The Runtime API": (
        Trial(
            "an answer for another",
            "answer an invocation of another function, whose request id it was told",
            "its own answer is taken",
            (
                _INVOKE + "test_hostile_runtime.py",
                "test_a_response_to_an_invocation_of_another_function_reaches_nobody",
            ),
        ),
        Trial(
            "an answer for an earlier one",
            "answer an invocation that is over, so that the next caller gets it",
            "its own answer is taken",
            (_INVOKE + "test_hostile_runtime.py", "test_a_late_response_never_reaches_the_next_caller"),
        ),
        Trial(
            "requests without end",
            "hold all connections by requests that never end",
            "its own are all taken, and others are served",
            (
                _INVOKE + "test_hostile_runtime.py",
                "test_requests_without_end_take_the_connections_of_their_own_environment_alone",
            ),
        ),
        Trial(
            "many connections",
            "open 300",
            "as many as are allowed are served",
            (
                _INVOKE + "test_hostile_runtime.py",
                "test_the_connections_of_one_environment_are_bounded_and_come_free_again",
            ),
        ),
        Trial(
            "what is no request",
            "send garbage, and heads of megabytes",
            "the next request is served",
            (_INVOKE + "test_hostile_runtime.py", "test_garbage_ends_its_connection_and_nothing_else"),
        ),
        Trial(
            "a flood of output",
            "fill the log's pipe faster than it is read",
            "all of the answer arrives",
            (_INVOKE + "test_function_faults.py", "test_a_flood_of_output_slows_the_function_and_loses_no_answer"),
        ),
    ),
}
