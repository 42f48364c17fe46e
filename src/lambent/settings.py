"""Every setting of the server, read once into a frozen `Settings`.

A setting comes from, first to last: the command line (`--idle-timeout-s 60`), the environment
(`LAMBENT_IDLE_TIMEOUT_S=60`), the TOML file named by `--config` (`idle_timeout_s = 60`), its default here.
`docs/settings.md` lists them all; a test fails on one that it does not.
"""

import argparse
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from lambent.endpoint import SERVICES, Endpoint


def _default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/lambent")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "lambent"


def _default_runtimes_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/cache/lambent/runtimes")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lambent" / "runtimes"


def _setting(default: Any, help_text: str, *, secret: bool = False, only_in_file: bool = False) -> Any:
    metadata = {"help": help_text, "only_in_file": only_in_file}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """A network for functions, and which functions get it; `core.network` says what each text may be."""

    mode: str
    allow: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of `lambent serve`. Sizes and durations carry their unit in their name."""

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(4566, "port to listen on; 0 picks a free one")
    data_dir: Path = _setting(_default_data_dir, "where all state is kept")
    environment_key_file: Path | None = _setting(
        None,
        "file of the keys that encrypt environment variables of functions; "
        "none: `environment-keys` in the data directory",
    )
    listen_without_authentication: bool = _setting(
        False, "allow listening on other than loopback although requests are not authenticated yet"
    )
    account: str = _setting("000000000000", "account of requests whose access key names none")
    region: str = _setting("us-east-1", "region of requests that are not signed for one")
    log_level: str = _setting("info", "lowest level of the server's own log: debug, info, warning, error")
    shutdown_grace_s: int = _setting(30, "how long SIGTERM waits for running invocations")

    sandbox: str = _setting("namespaces", "isolation driver: namespaces, oci, or process (no isolation)")
    sandbox_oci_runtime: str = _setting(
        "", "OCI runtime of the driver oci, a name or a path; none: crun, else runc, of those on PATH"
    )
    fork_functions: bool = _setting(
        True, "fork a function's process from one that has its interpreter and client loaded, where the runtime can"
    )
    preboot_minimum: int = _setting(1, "sandboxes kept booted ahead for each runtime in use; 0 for none without demand")
    preboot_memory_mib: int = _setting(64, "memory that all sandboxes booted ahead may take; 0 for none at all")
    sandbox_uid_base: int = _setting(200_000, "first of the user ids given to environments, when started as root")
    sandbox_uid_count: int = _setting(10_000, "how many user ids there are, at least 2")
    network: str = _setting(
        "loopback", "network of functions that no other is for: loopback, internet, or one of the file"
    )
    networks: Mapping[str, NetworkSettings] = _setting(dict, "networks by name", only_in_file=True)
    worker_socket: Path | None = _setting(
        None,
        "Unix socket of a worker in a process of its own (`lambent worker`); none: a worker in the server",
    )
    parallel_starts: int = _setting(8, "how many environments may be starting at one time")

    memory_mib: int = _setting(
        0, "memory for Lambent and its environments; 0: all that the machine has, or the control group of the worker"
    )
    memory_overcommit: float = _setting(
        4.0, "MemorySize of all environments together, as a multiple of the memory that they may have"
    )
    memory_reserve_mib: int = _setting(
        256, "part of that memory which is kept from environments: no more are started, and idle ones end, in time"
    )
    processors: int = _setting(
        0, "processors that all environments together count as beside other programs; 0: as many as the worker may use"
    )
    cpu_capped: bool = _setting(
        False,
        "hold each environment to its share of processor time (1,769 MB are one processor) on an idle machine too",
    )
    waiting_for_memory: int = _setting(1000, "environments that may wait until there is memory for them")
    wait_for_memory_s: int = _setting(
        10, "how long a synchronous invocation waits until there is memory for its environment"
    )

    concurrency_limit: int = _setting(1000, "concurrent executions per account and region")
    requests_per_s_per_concurrency: int = _setting(
        10,
        "synchronous invocations in a second for each concurrent execution that an account has, a function has "
        "reserved or a version has provisioned",
    )
    scale_out_per_10_s: int = _setting(1000, "environments that may be started of one function in any 10 seconds")
    event_concurrency: int = _setting(
        256, "how many asynchronous invocations are held in memory: at work, or ready to begin"
    )
    event_retry_delay_s: int = _setting(
        60,
        "time from an error of a function to the first retry of an asynchronous invocation; the second waits twice it",
    )
    idle_timeout_s: int = _setting(300, "idle time after which an environment is ended")
    maximal_life_s: int = _setting(
        14_400, "age from which an environment takes no more events; one of provisioned concurrency is replaced first"
    )
    snap_start_on_older_runtimes: bool = _setting(False, "allow SnapStart for Python before 3.12, which AWS refuses")
    billing_step_ms: int = _setting(100, "step to which billed duration is rounded up: 100 or 1")

    runtimes_dir: Path = _setting(_default_runtimes_dir, "cache of the runtime clients and SDKs given to functions")
    node: str = _setting("", "Node.js to run functions with; empty: found on PATH, else the bundled one")
    node_client: str = _setting("lambent", "runtime client of Node.js functions: lambent, or aws-lambda-ric")
    python_search: str = _setting("", "further directories with Python interpreters, separated by colons")

    s3_endpoint: str = _setting(
        "", "URL of the S3 that code is read from (S3Bucket, S3Key) and that destinations are in; empty: none"
    )
    s3_region: str = _setting("", "region for which requests to that S3 are signed; empty: the function's")
    s3_access_key_id: str = _setting("", "access key for that S3; empty: requests are not signed")
    s3_secret_access_key: str = _setting("", "secret of that access key; better not on a command line", secret=True)
    sqs_endpoint: str = _setting("", "URL of the SQS that destinations and dead-letter queues are in; empty: none")
    sqs_region: str = _setting("", "region for which requests to that SQS are signed; empty: the queue's")
    sqs_access_key_id: str = _setting("", "access key for that SQS; empty: requests are not signed")
    sqs_secret_access_key: str = _setting("", "secret of that access key; better not on a command line", secret=True)
    sns_endpoint: str = _setting("", "URL of the SNS that destinations and dead-letter topics are in; empty: none")
    sns_region: str = _setting("", "region for which requests to that SNS are signed; empty: the topic's")
    sns_access_key_id: str = _setting("", "access key for that SNS; empty: requests are not signed")
    sns_secret_access_key: str = _setting("", "secret of that access key; better not on a command line", secret=True)
    events_endpoint: str = _setting("", "URL of the EventBridge that destinations are in; empty: none")
    events_region: str = _setting(
        "", "region for which requests to that EventBridge are signed; empty: the event bus's"
    )
    events_access_key_id: str = _setting("", "access key for that EventBridge; empty: requests are not signed")
    events_secret_access_key: str = _setting("", "secret of that access key; better not on a command line", secret=True)
    accounts: Mapping[str, Mapping[str, Endpoint]] = _setting(
        dict, "accounts with endpoints of their own, by service", only_in_file=True
    )

    def endpoint_of(self, service: str, account: str) -> Endpoint | None:
        """Where the service is for an account, None where it is nowhere. An endpoint of its own stands alone: the
        credentials of all are not for it."""
        found = self.accounts.get(account, {}).get(service) or self.endpoint_of_all(service)
        return found if found.url else None

    def endpoint_of_all(self, service: str) -> Endpoint:
        """Where the service is for the accounts that have none of their own."""
        return _endpoint(service, lambda name: str(getattr(self, name)))


class SettingsError(Exception):
    """A setting is unknown or has a value that can not be used. The message is for the person who set it."""


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    return "LAMBENT_" + name.upper()


def with_flags() -> list[Field[Any]]:
    """The settings that have a flag and a variable."""
    return [setting for setting in fields(Settings) if not setting.metadata["only_in_file"]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the parser a flag for each setting, and `--config`."""
    parser.add_argument("--config", metavar="FILE.toml", help="a TOML file of settings")
    for setting in with_flags():
        shape: dict[str, Any] = {"dest": setting.name, "default": None, "help": setting.metadata["help"]}
        if _type_of(setting.name) is bool:
            parser.add_argument(flag_of(setting.name), action=argparse.BooleanOptionalAction, **shape)
        else:
            parser.add_argument(flag_of(setting.name), metavar=setting.name.rsplit("_", 1)[-1].upper(), **shape)


def read(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Settings from the command line, the environment and the file. Raises SettingsError."""
    given = vars(arguments)
    from_file = _read_file(given.get("config") or environment.get("LAMBENT_CONFIG"))
    values: dict[str, Any] = {}
    for setting in with_flags():
        name = setting.name
        if given.get(name) is not None:
            values[name] = _convert(name, given[name], flag_of(name))
        elif variable_of(name) in environment:
            values[name] = _convert(name, environment[variable_of(name)], variable_of(name))
        elif name in from_file:
            values[name] = _convert(name, from_file[name], f"{name} in the settings file")
    settings = Settings(
        **values,
        networks=_networks(from_file.get("networks", {})),
        accounts=_accounts(from_file.get("accounts", {})),
    )
    _check(settings)
    return settings


def _read_file(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {path} can not be read: {error}") from error
    unknown = values.keys() - {setting.name for setting in fields(Settings)}
    if unknown:
        raise SettingsError(f"the settings file {path} has unknown settings: {', '.join(sorted(unknown))}")
    return values


def _accounts(tables: Any) -> dict[str, dict[str, Endpoint]]:
    """The tables `[accounts.111122223333]` of the file."""
    if not isinstance(tables, dict):
        raise SettingsError("accounts in the settings file must be tables, [accounts.ACCOUNT]")
    accounts = {}
    for account, table in tables.items():
        where = f"[accounts.{account}] in the settings file"
        if not _is_account(account):
            raise SettingsError(f"{where} must be named by the 12 digits of an account")
        if not isinstance(table, dict):
            raise SettingsError(f"{where} must be a table")
        accounts[account] = _endpoints_of_account(table, where)
    return accounts


def _endpoints_of_account(table: Mapping[str, Any], where: str) -> dict[str, Endpoint]:
    names = {service: [f"{service}_{member}" for member in _ENDPOINT_MEMBERS] for service in SERVICES}
    unknown = table.keys() - {name for of_service in names.values() for name in of_service}
    if unknown:
        raise SettingsError(f"{where} has unknown settings: {', '.join(sorted(unknown))}")
    if not all(isinstance(value, str) for value in table.values()):
        raise SettingsError(f"{where} must have text for values")
    endpoints = {}
    for service, (url, *others) in names.items():
        if url in table:
            endpoints[service] = _endpoint(service, lambda name: table.get(name, ""))
            _check_endpoint(service, endpoints[service], where)
        elif not table.keys().isdisjoint(others):
            raise SettingsError(f"{where} must have {url} beside what goes with it")
    return endpoints


_ENDPOINT_MEMBERS = ("endpoint", "region", "access_key_id", "secret_access_key")


def _endpoint(service: str, value: Callable[[str], str]) -> Endpoint:
    return Endpoint(*(value(f"{service}_{member}") for member in _ENDPOINT_MEMBERS))


def _networks(tables: Any) -> dict[str, NetworkSettings]:
    """The tables `[networks.NAME]` of the file."""
    if not isinstance(tables, dict):
        raise SettingsError("networks in the settings file must be tables, [networks.NAME]")
    known = [member.name for member in fields(NetworkSettings)]
    networks = {}
    for name, table in tables.items():
        where = f"[networks.{name}] in the settings file"
        if not isinstance(table, dict) or not table.keys() <= set(known) or not isinstance(table.get("mode"), str):
            raise SettingsError(f"{where} must be a table with mode, and of {', '.join(known)} only")
        lists = {member: value for member, value in table.items() if member != "mode"}
        if not all(isinstance(value, list) and all(isinstance(one, str) for one in value) for value in lists.values()):
            raise SettingsError(f"{where} must have lists of texts for {', '.join(lists)}")
        networks[name] = NetworkSettings(table["mode"], **{member: tuple(value) for member, value in lists.items()})
    return networks


def _check_endpoint(service: str, endpoint: Endpoint, where: str) -> None:
    if endpoint.url and not endpoint.url.startswith(("http://", "https://")):
        raise SettingsError(f"{service}_endpoint {where} must be a URL (https://...), not {endpoint.url!r}")
    if bool(endpoint.access_key_id) != bool(endpoint.secret_access_key):
        raise SettingsError(f"{service}_access_key_id and {service}_secret_access_key {where} are needed together")


def _is_account(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) == 12


_HINTS: dict[str, Any] = get_type_hints(Settings)


def _type_of(name: str) -> type:
    hint = _HINTS[name]
    kind: type = next((kind for kind in get_args(hint) if kind is not type(None)), hint)
    return kind


def _convert(name: str, value: Any, where: str) -> Any:
    kind = _type_of(name)
    if kind is bool and isinstance(value, str):
        if value.lower() in ("1", "true", "yes", "on"):
            return True
        if value.lower() in ("0", "false", "no", "off", ""):
            return False
        raise SettingsError(f"{where} must be true or false, not {value!r}")
    if kind is int and isinstance(value, bool):
        raise SettingsError(f"{where} must be a whole number, not {value!r}")
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"{where} must be a {'whole number' if kind is int else kind.__name__}, not {value!r}"
        ) from error


def _one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}")


def _check(settings: Settings) -> None:
    _one_of("sandbox", settings.sandbox, ("namespaces", "oci", "process"))
    _one_of("billing_step_ms", settings.billing_step_ms, (1, 100))
    _one_of("node_client", settings.node_client, ("lambent", "aws-lambda-ric"))
    _one_of("log_level", settings.log_level, ("debug", "info", "warning", "error"))
    for service in SERVICES:
        _check_endpoint(service, settings.endpoint_of_all(service), "in the settings")
    if not _is_account(settings.account):
        raise SettingsError(f"account must be 12 digits, not {settings.account!r}")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", settings.region):
        raise SettingsError(f"region must be small letters, digits and hyphens, not {settings.region!r}")
    if not 0 <= settings.port <= 65535:
        raise SettingsError(f"port must be from 0 to 65535, not {settings.port}")
    for name in (
        "concurrency_limit",
        "requests_per_s_per_concurrency",
        "scale_out_per_10_s",
        "event_concurrency",
        "event_retry_delay_s",
        "idle_timeout_s",
        "maximal_life_s",
        "parallel_starts",
        "sandbox_uid_base",
        "memory_overcommit",
    ):
        if not getattr(settings, name) >= 1:  # and no NaN
            raise SettingsError(f"{name} must be at least 1, not {getattr(settings, name)}")
    for name in ("memory_mib", "memory_reserve_mib", "processors", "waiting_for_memory", "wait_for_memory_s"):
        if getattr(settings, name) < 0:
            raise SettingsError(f"{name} must be at least 0, not {getattr(settings, name)}")
    if settings.sandbox_uid_count < 2:
        # The zygotes, from which environments are forked, have the first.
        raise SettingsError(f"sandbox_uid_count must be at least 2, not {settings.sandbox_uid_count}")
