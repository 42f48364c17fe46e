"""The platform's lines in a function's log, character by character."""

import json

import pytest

from lambent.core.invocation import Outcome, Report, Restoration
from lambent.core.log_lines import LogLines
from lambent.core.metering import billed_ms

TEXT = LogLines(
    function_name="f",
    version="$LATEST",
    memory_mib=128,
    runtime="python:3.13",
    runtime_arn="arn:aws:lambda:us-east-1::runtime:abc",
    initialization_type="on-demand",
)
JSON = LogLines("f", "3", 128, "python:3.13", "arn", "on-demand", json_format=True)


def test_the_report_of_a_cold_invocation_has_its_init_duration_and_ends_in_a_tab():
    report = Report(Outcome.SUCCESS, duration_us=3_014, max_memory_mib=36, init_us=110_104)
    assert TEXT.end(0, "r1", report, 200) == [
        "END RequestId: r1",
        "REPORT RequestId: r1\tDuration: 3.01 ms\tBilled Duration: 200 ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t",
    ]


def test_the_report_of_a_timeout_and_of_a_crash_tell_their_status():
    timeout = Report(Outcome.TIMEOUT, 3_000_000, 36, error_type="Sandbox.Timedout")
    assert TEXT.end(0, "r1", timeout, 3000)[1].endswith("\tMax Memory Used: 36 MB\tStatus: timeout")
    crash = Report(Outcome.CRASH, 1_000, 36, error_type="Runtime.ExitError")
    assert TEXT.end(0, "r1", crash, 100)[1].endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_an_error_of_the_handler_is_no_status_of_the_report():
    error = Report(Outcome.FUNCTION_ERROR, 1_000, 36, error_type="Runtime.Unknown")
    assert TEXT.end(0, "r1", error, 100)[1].endswith("\tMax Memory Used: 36 MB\t")


def test_a_failed_initialisation_has_a_report_of_its_own():
    assert TEXT.init_report(0, 1_236_040, Outcome.CRASH, "Runtime.ExitError", repeated=False) == [
        "INIT_REPORT Init Duration: 1236.04 ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError"
    ]
    assert TEXT.init_report(0, 9_999_500, Outcome.TIMEOUT, None, repeated=False) == [
        "INIT_REPORT Init Duration: 9999.50 ms\tPhase: init\tStatus: timeout"
    ]


def test_an_initialisation_that_nobody_waited_for_has_one_too():
    assert TEXT.init_report(0, 1_500, Outcome.SUCCESS, None, repeated=False) == [
        "INIT_REPORT Init Duration: 1.50 ms\tPhase: init\tStatus: success"
    ]
    (record,) = JSON.init_report(0, 1_500, Outcome.SUCCESS, None, repeated=False)
    assert json.loads(record)["record"]["status"] == "success"


def test_one_that_was_repeated_inside_an_invocation_says_so():
    assert TEXT.init_report(0, 1_500, Outcome.CRASH, "Runtime.ExitError", repeated=True) == [
        "INIT_REPORT Init Duration: 1.50 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError"
    ]
    (start,) = JSON.init_start(0, repeated=True)
    (report,) = JSON.init_report(0, 1_500, Outcome.TIMEOUT, None, repeated=True)
    assert [json.loads(line)["record"]["phase"] for line in (start, report)] == ["invoke", "invoke"]


def test_the_json_format_gives_records_and_no_text():
    (start,) = JSON.start(1_700_000_000_123, "r1")
    assert json.loads(start) == {
        "time": "2023-11-14T22:13:20.123Z",
        "type": "platform.start",
        "record": {"requestId": "r1", "version": "3"},
    }
    (report,) = JSON.end(0, "r1", Report(Outcome.SUCCESS, 1_500, 36), 100)
    record = json.loads(report)["record"]
    assert record["status"] == "success"
    assert record["metrics"] == {
        "durationMs": 1.5,
        "billedDurationMs": 100,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 36,
    }


def test_a_higher_system_log_level_leaves_only_what_went_wrong():
    quiet = LogLines("f", "3", 128, "python:3.13", "arn", "on-demand", json_format=True, level="WARN")
    assert quiet.start(0, "r1") == []
    assert quiet.end(0, "r1", Report(Outcome.SUCCESS, 1_500, 36), 100) == []
    kinds = [json.loads(line)["type"] for line in quiet.end(0, "r1", Report(Outcome.TIMEOUT, 1, 36), 100)]
    assert kinds == ["platform.runtimeDone", "platform.report"]


@pytest.mark.parametrize(
    ("duration_us", "init_us", "step_ms", "billed"),
    [
        (102_250, None, 100, 200),
        (100_000, None, 100, 100),
        (100_001, None, 100, 200),
        (1, None, 100, 100),
        (3_010, 110_100, 1, 114),
        (1_000, None, 1, 1),
    ],
)
def test_billed_duration_is_rounded_up_to_the_tariffs_step(duration_us, init_us, step_ms, billed):
    assert billed_ms(duration_us, init_us, step_ms) == billed


def test_a_restoration_is_told_as_lambda_tells_it():
    assert TEXT.restore_start(0) == [
        "RESTORE_START Runtime Version: python:3.13\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:abc"
    ]
    assert TEXT.restore_report(0, 511_250, Outcome.SUCCESS, None) == ["RESTORE_REPORT Restore Duration: 511.25 ms"]
    assert TEXT.restore_report(0, 1_236_040, Outcome.TIMEOUT, None) == [
        "RESTORE_REPORT Restore Duration: 1236.04 ms\tStatus: timeout"
    ]
    assert TEXT.restore_report(0, 1_236_040, Outcome.CRASH, "Runtime.ExitError") == [
        "RESTORE_REPORT Restore Duration: 1236.04 ms\tStatus: error\tError Type: Runtime.ExitError"
    ]


def test_the_first_invocation_after_a_restoration_reports_and_pays_for_it():
    """The figures are of a line that Lambda wrote."""
    report = Report(Outcome.SUCCESS, 306_340, 155, restoration=Restoration(511_250, 302_700))
    billed = billed_ms(306_340, None, 1, restore_us=302_700)
    assert TEXT.end(0, "r1", report, billed)[1] == (
        "REPORT RequestId: r1\tDuration: 306.34 ms\tBilled Duration: 610 ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 155 MB\tRestore Duration: 511.25 ms\tBilled Restore Duration: 303 ms\t"
    )
    (end,) = JSON.end(0, "r1", report, billed)
    metrics = json.loads(end)["record"]["metrics"]
    assert (metrics["restoreDurationMs"], metrics["billedRestoreDurationMs"]) == (511.25, 303)


def test_a_restoration_in_json_tells_of_its_hooks_where_they_failed():
    (start,) = JSON.restore_start(0)
    assert json.loads(start)["type"] == "platform.restoreStart"
    (report,) = JSON.restore_report(0, 1_500, Outcome.SUCCESS, None)
    assert json.loads(report)["record"] == {"status": "success", "metrics": {"durationMs": 1.5}}
    done, report = JSON.restore_report(0, 1_500, Outcome.FUNCTION_ERROR, "Runtime.AfterRestoreError")
    assert json.loads(done)["type"] == "platform.restoreRuntimeDone"
    assert json.loads(done)["record"] == {"status": "error", "errorType": "Runtime.AfterRestoreError"}
    assert json.loads(report)["record"]["metrics"] == {"durationMs": 1.5}
