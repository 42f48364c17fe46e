"""docs/security.md lists what is tried, and nothing that is not."""

import probe_table
import pytest
from hostile import PROBES
from hostile.trials import TRIALS, Trial


def test_the_page_is_what_its_writer_would_write() -> None:
    page = probe_table.PAGE.read_text()
    assert page == probe_table.written(page), "run .venv/bin/python tests/security/sandbox/probe_table.py"


def test_every_probe_has_a_name_of_its_own() -> None:
    assert len({probe.name for probe in PROBES}) == len(PROBES)


@pytest.mark.parametrize("trial", [trial for tried in TRIALS.values() for trial in tried], ids=lambda trial: trial.name)
def test_a_trial_is_a_test_that_exists(trial: Trial) -> None:
    file, function = trial.test
    assert f"\ndef {function}(" in (probe_table.ROOT / file).read_text()
