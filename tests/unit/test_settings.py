"""Settings: where each comes from, what is refused, and that the documentation has them all."""

import argparse
import re
from pathlib import Path

import pytest

from lambent.core.admission import Limits
from lambent.endpoint import Endpoint
from lambent.settings import (
    NetworkSettings,
    Settings,
    SettingsError,
    add_arguments,
    flag_of,
    read,
    variable_of,
    with_flags,
)

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "settings.md"


def settings_of(*words: str, environment: dict[str, str] | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read(parser.parse_args(words), environment or {})


def documented_rows() -> dict[str, list[str]]:
    rows = re.findall(r"^\| `(--[a-z0-9-]+)` \| `(\w+)` \| (.+?) \| (.+?) \|$", DOCUMENTATION.read_text(), re.MULTILINE)
    return {flag: rest for flag, *rest in rows}


def test_the_documentation_lists_exactly_the_settings_there_are() -> None:
    assert set(documented_rows()) == {flag_of(setting.name) for setting in with_flags()}


@pytest.mark.parametrize("setting", with_flags(), ids=lambda setting: setting.name)
def test_the_documentation_says_of_a_setting_what_the_code_says(setting: object) -> None:
    variable, default, meaning = documented_rows()[flag_of(setting.name)]
    assert variable == variable_of(setting.name)
    assert meaning == setting.metadata["help"]
    if isinstance(setting.default, str | int) and setting.default != "":
        assert default == f"`{str(setting.default).lower()}`"


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "lambent.toml"
    file.write_text('port = 1\naccount = "111111111111"\nidle_timeout_s = 7\n')
    environment = {"LAMBENT_PORT": "2", "LAMBENT_ACCOUNT": "222222222222", "LAMBENT_CONFIG": str(file)}
    settings = settings_of("--port", "3", environment=environment)
    assert (settings.port, settings.account, settings.idle_timeout_s) == (3, "222222222222", 7)


def test_the_file_of_the_command_line_comes_before_that_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text("port = 1\n")
    (tmp_path / "two.toml").write_text("port = 2\n")
    environment = {"LAMBENT_CONFIG": str(tmp_path / "two.toml")}
    assert settings_of("--config", str(tmp_path / "one.toml"), environment=environment).port == 1


def test_a_setting_of_true_or_false_is_a_pair_of_flags_and_a_word_in_the_environment() -> None:
    assert settings_of("--listen-without-authentication").listen_without_authentication is True
    on = {"LAMBENT_LISTEN_WITHOUT_AUTHENTICATION": "yes"}
    assert settings_of(environment=on).listen_without_authentication is True
    assert settings_of("--no-listen-without-authentication", environment=on).listen_without_authentication is False


def test_a_path_is_read_as_a_path() -> None:
    assert settings_of("--data-dir", "/srv/lambent").data_dir == Path("/srv/lambent")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--port", "many"], "--port must be a whole number, not 'many'"),
        (["--port", "70000"], "port must be from 0 to 65535, not 70000"),
        (["--sandbox", "hope"], "sandbox must be one of namespaces, oci, process, not 'hope'"),
        (["--billing-step-ms", "10"], "billing_step_ms must be one of 1, 100, not 10"),
        (["--account", "12"], "account must be 12 digits, not '12'"),
        (["--memory-overcommit", "nan"], "memory_overcommit must be at least 1, not nan"),
        (["--region", "Mars!"], "region must be small letters, digits and hyphens, not 'Mars!'"),
        (["--idle-timeout-s", "0"], "idle_timeout_s must be at least 1, not 0"),
        (["--sandbox-uid-count", "1"], "sandbox_uid_count must be at least 2, not 1"),
        (["--config", "/nowhere.toml"], "the settings file /nowhere.toml can not be read"),
    ],
)
def test_a_value_that_can_not_be_used_is_refused_with_its_name(words: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        settings_of(*words)


def test_a_settings_file_that_is_no_text_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"\xff\n")
    with pytest.raises(SettingsError, match=r"settings\.toml can not be read"):
        settings_of("--config", str(tmp_path / "settings.toml"))


def test_a_wrong_word_in_the_environment_is_told_by_the_variable_it_is_in() -> None:
    with pytest.raises(SettingsError, match="LAMBENT_PORT must be a whole number"):
        settings_of(environment={"LAMBENT_PORT": "high"})


def test_an_unknown_setting_in_the_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "lambent.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(SettingsError, match="unknown settings: prot"):
        settings_of("--config", str(file))


OWN_ENDPOINTS = """
s3_endpoint = "http://everybody"
s3_access_key_id = "key"
s3_secret_access_key = "secret"
sqs_endpoint = "http://queues"
[accounts.111122223333]
s3_endpoint = "http://own"
[accounts.444455556666]
s3_endpoint = ""
sns_endpoint = "http://topics"
sns_region = "eu-west-1"
"""


def test_an_account_has_the_endpoint_of_all_or_its_own_without_the_credentials_of_all(
    tmp_path: Path,
) -> None:
    file = tmp_path / "lambent.toml"
    file.write_text(OWN_ENDPOINTS)
    settings = settings_of("--config", str(file))
    assert settings.endpoint_of("s3", "999999999999") == Endpoint("http://everybody", "", "key", "secret")
    assert settings.endpoint_of("s3", "111122223333") == Endpoint("http://own")
    assert settings.endpoint_of("sqs", "111122223333") == Endpoint("http://queues")
    assert settings.endpoint_of("s3", "444455556666") is None
    assert settings.endpoint_of("sns", "444455556666") == Endpoint("http://topics", "eu-west-1")
    assert settings.endpoint_of("sns", "111122223333") is None
    assert settings_of().endpoint_of("s3", "111122223333") is None
    assert "'secret'" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('accounts = "all"', "accounts in the settings file must be tables"),
        (
            '[accounts.12]\ns3_endpoint = "http://own"',
            "[accounts.12] in the settings file must be named by the 12 digits",
        ),
        ("[accounts]\n111122223333 = 1", "[accounts.111122223333] in the settings file must be a table"),
        ('[accounts.111122223333]\nsns_region = "r"', "must have sns_endpoint beside what goes with it"),
        ('[accounts.111122223333]\ns3_endpoint = "http://own"\nport = 1', "has unknown settings: port"),
        ("[accounts.111122223333]\ns3_endpoint = 1", "must have text for values"),
        ('s3_endpoint = "own"', "s3_endpoint in the settings must be a URL (https://...), not 'own'"),
        ('[accounts.111122223333]\nevents_endpoint = "bus"', "events_endpoint [accounts.111122223333] in the settings"),
        ('s3_access_key_id = "key"', "s3_access_key_id and s3_secret_access_key in the settings are needed together"),
    ],
)
def test_an_endpoint_that_makes_no_sense_is_refused(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "lambent.toml"
    file.write_text(content + "\n")
    with pytest.raises(SettingsError, match=re.escape(told)):
        settings_of("--config", str(file))


def test_networks_are_tables_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "lambent.toml"
    file.write_text(
        'network = "database"\n[networks.database]\nmode = "allow"\nallow = ["10.0.0.1:5432"]\nsubnets = ["subnet-a"]\n'
    )
    settings = settings_of("--config", str(file))
    assert settings.network == "database"
    assert settings.networks == {"database": NetworkSettings("allow", ("10.0.0.1:5432",), subnets=("subnet-a",))}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('networks = "all"', "networks in the settings file must be tables"),
        ("[networks.one]\nallow = []", r"\[networks.one\] in the settings file must be a table with mode"),
        ('[networks.one]\nmode = "allow"\nport = 1', "must be a table with mode, and of mode, allow, nameservers"),
        ('[networks.one]\nmode = "allow"\nallow = "10.0.0.1"', "must have lists of texts for allow"),
        ('[networks.one]\nmode = "allow"\nallow = [1]', "must have lists of texts for allow"),
    ],
)
def test_networks_of_another_form_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "lambent.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        settings_of("--config", str(file))


def test_the_limits_of_scaling_are_those_of_aws_unless_they_are_set():
    given = Settings()
    found = Limits(given.concurrency_limit, given.requests_per_s_per_concurrency, given.scale_out_per_10_s)
    assert found == Limits()
