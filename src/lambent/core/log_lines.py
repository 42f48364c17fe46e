"""The platform's own lines in a function's log stream, in the text and in the JSON format.

Source of the text forms: lines of CloudWatch Logs as AWS's documentation shows them (developer guide, "Working with
Lambda function logs"); of the JSON records: "Telemetry API event schema reference"; of their levels: "System log
level event mapping".
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from lambent.core.invocation import Outcome, Report
from lambent.core.record import Record

_STATUS_OF = {
    Outcome.SUCCESS: "success",
    Outcome.FUNCTION_ERROR: "error",
    Outcome.CRASH: "error",
    Outcome.TIMEOUT: "timeout",
    Outcome.LOST: "failure",
}
_LEVELS = {"DEBUG": 0, "INFO": 1, "WARN": 2}


def _phase(repeated: bool) -> str:
    return "invoke" if repeated else "init"


def _milliseconds(duration_us: int) -> str:
    return f"{duration_us / 1000:.2f}"


def _whole_milliseconds(duration_us: int) -> int:
    return -(-duration_us // 1000)


class LogLines(Record, frozen=True):
    """Makes the lines of one environment. `level` is the SystemLogLevel and matters to the JSON format only."""

    function_name: str
    version: str
    memory_mib: int
    runtime: str
    runtime_arn: str
    initialization_type: str
    json_format: bool = False
    level: str = "INFO"
    tenant_id: str | None = None

    def init_start(self, wall_ms: int, *, repeated: bool) -> list[str]:
        if not self.json_format:
            return [f"INIT_START Runtime Version: {self.runtime}\tRuntime Version ARN: {self.runtime_arn}"]
        record = {
            "initializationType": self.initialization_type,
            "phase": _phase(repeated),
            "runtimeVersion": self.runtime,
            "runtimeVersionArn": self.runtime_arn,
            "functionName": self.function_name,
            "functionVersion": self.version,
        }
        return self._record("INFO", wall_ms, "platform.initStart", record)

    def init_report(
        self, wall_ms: int, duration_us: int, outcome: Outcome, error_type: str | None, *, repeated: bool
    ) -> list[str]:
        """The report of an initialisation that failed, or that nobody waited for; others that succeeded are told by the
        first invocation's. `repeated` says that it was inside an invocation."""
        status, phase = _STATUS_OF[outcome], _phase(repeated)
        if not self.json_format:
            line = f"INIT_REPORT Init Duration: {_milliseconds(duration_us)} ms\tPhase: {phase}\tStatus: {status}"
            if error_type is not None and outcome is not Outcome.TIMEOUT:
                line += f"\tError Type: {error_type}"
            return [line]
        record: dict[str, object] = {
            "initializationType": self.initialization_type,
            "phase": phase,
            "status": status,
            "metrics": {"durationMs": round(duration_us / 1000, 3)},
        }
        if error_type is not None:
            record["errorType"] = error_type
        level = "INFO" if outcome is Outcome.SUCCESS else "WARN"
        return self._record(level, wall_ms, "platform.initReport", record)

    def restore_start(self, wall_ms: int) -> list[str]:
        if not self.json_format:
            return [f"RESTORE_START Runtime Version: {self.runtime}\tRuntime Version ARN: {self.runtime_arn}"]
        record = {
            "runtimeVersion": self.runtime,
            "runtimeVersionArn": self.runtime_arn,
            "functionName": self.function_name,
            "functionVersion": self.version,
        }
        return self._record("INFO", wall_ms, "platform.restoreStart", record)

    def restore_report(self, wall_ms: int, duration_us: int, outcome: Outcome, error_type: str | None) -> list[str]:
        """The report of a restoration, whether it succeeded or not."""
        succeeded = outcome is Outcome.SUCCESS
        if not self.json_format:
            line = f"RESTORE_REPORT Restore Duration: {_milliseconds(duration_us)} ms"
            if not succeeded:
                line += f"\tStatus: {_STATUS_OF[outcome]}"
            return [line if error_type is None else f"{line}\tError Type: {error_type}"]
        status: dict[str, object] = {"status": _STATUS_OF[outcome]}
        if error_type is not None:
            status["errorType"] = error_type
        metrics = {"metrics": {"durationMs": round(duration_us / 1000, 3)}}
        return [
            *self._record("DEBUG" if succeeded else "WARN", wall_ms, "platform.restoreRuntimeDone", status),
            *self._record("INFO" if succeeded else "WARN", wall_ms, "platform.restoreReport", status | metrics),
        ]

    def start(self, wall_ms: int, request_id: str) -> list[str]:
        if not self.json_format:
            return [f"START RequestId: {request_id} Version: {self.version}"]
        record = {"requestId": request_id, "version": self.version, **self._tenant()}
        return self._record("INFO", wall_ms, "platform.start", record)

    def end(self, wall_ms: int, request_id: str, report: Report, billed_ms: int) -> list[str]:
        """END and REPORT, or their JSON records."""
        if self.json_format:
            return self._json_end(wall_ms, request_id, report, billed_ms)
        line = (
            f"REPORT RequestId: {request_id}\tDuration: {report.duration_us / 1000:.2f} ms"
            f"\tBilled Duration: {billed_ms} ms\tMemory Size: {self.memory_mib} MB"
            f"\tMax Memory Used: {report.max_memory_mib} MB\t"
        )
        if report.init_us is not None:
            line += f"Init Duration: {_milliseconds(report.init_us)} ms\t"
        if report.restoration is not None:
            line += (
                f"Restore Duration: {_milliseconds(report.restoration.duration_us)} ms"
                f"\tBilled Restore Duration: {_whole_milliseconds(report.restoration.billed_us)} ms\t"
            )
        if report.outcome is Outcome.TIMEOUT:
            line += "Status: timeout"
        elif report.outcome in (Outcome.CRASH, Outcome.LOST):
            line += f"Status: error\tError Type: {report.error_type}"
        return [f"END RequestId: {request_id}", line]

    def _json_end(self, wall_ms: int, request_id: str, report: Report, billed_ms: int) -> list[str]:
        status = _STATUS_OF[report.outcome]
        level = "WARN" if report.outcome is not Outcome.SUCCESS else "INFO"
        metrics: dict[str, object] = {
            "durationMs": round(report.duration_us / 1000, 3),
            "billedDurationMs": billed_ms,
            "memorySizeMB": self.memory_mib,
            "maxMemoryUsedMB": report.max_memory_mib,
        }
        if report.init_us is not None:
            metrics["initDurationMs"] = round(report.init_us / 1000, 3)
        if report.restoration is not None:
            metrics["restoreDurationMs"] = round(report.restoration.duration_us / 1000, 3)
            metrics["billedRestoreDurationMs"] = _whole_milliseconds(report.restoration.billed_us)
        done: dict[str, object] = {"requestId": request_id, "status": status}
        if report.error_type is not None:
            done["errorType"] = report.error_type
        done_level = "DEBUG" if report.outcome is Outcome.SUCCESS else "WARN"
        return [
            *self._record(
                done_level,
                wall_ms,
                "platform.runtimeDone",
                {**done, "metrics": {"durationMs": metrics["durationMs"]}, **self._tenant()},
            ),
            *self._record(level, wall_ms, "platform.report", {**done, "metrics": metrics}),
        ]

    def _tenant(self) -> dict[str, object]:
        return {} if self.tenant_id is None else {"tenantId": self.tenant_id}

    def _record(self, level: str, wall_ms: int, kind: str, record: Mapping[str, object]) -> list[str]:
        if _LEVELS[level] < _LEVELS.get(self.level, 1):
            return []
        time = datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return [json.dumps({"time": time.replace("+00:00", "Z"), "type": kind, "record": record})]
