"""The composition root: makes every part from the settings, and joins them. The only module that sees everything."""

import asyncio
import contextlib
import gc
import logging
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import uvloop

from lambent import __version__
from lambent.clock import SystemClock
from lambent.control.code_buckets import CodeBuckets
from lambent.control.dependencies import Control
from lambent.control.mapping_settlement import MappingSettlement
from lambent.control.operations import operations as control_operations
from lambent.control.preparation import Preparation
from lambent.core.admission import Limits
from lambent.core.allowance import Allowance
from lambent.core.arn import function_arn
from lambent.core.errors import ModelledError
from lambent.core.function import FunctionName, Package
from lambent.core.limits import (
    REQUEST_BODY_BYTES,
    REQUEST_HEAD_BYTES,
    SNAP_START_OLDER_RUNTIMES,
    SNAP_START_RUNTIMES,
)
from lambent.core.network import Networks, networks
from lambent.core.placement import Policy
from lambent.identity.authentication import Identity
from lambent.identity.credentials import IssuedCredentials
from lambent.identity.operations import iam_operations, sts_operations
from lambent.identity.roles import Roles
from lambent.ids import RandomIds
from lambent.invoke import operator_views
from lambent.invoke.configuration import ServingConfiguration
from lambent.invoke.dispatcher import Dispatcher
from lambent.invoke.events import EventInvocations
from lambent.invoke.frontend import Frontend, accept_record, attempt
from lambent.invoke.operations import operations as invoke_operations
from lambent.invoke.provisioned import ProvisionedEnvironments
from lambent.invoke.snapshots import TemplatesOfVersions
from lambent.invoke.worker_link import WorkerLink, WorkerUnreachable
from lambent.neighbours.deliveries import Deliveries
from lambent.observe.ledger import Ledger
from lambent.observe.log_store import LogStore
from lambent.observe.operations import operations as logs_operations
from lambent.server import operator_log
from lambent.server.code_page import code_page
from lambent.server.data_directory import DataDirectory, DataDirectoryError
from lambent.server.front_door import FrontDoor, health_page
from lambent.server.http_protocol import Connections
from lambent.server.listening import ListenError, listen, url_of
from lambent.server.operator_door import open_operator_door, operator_connections
from lambent.server.request_tasks import RequestTasks
from lambent.settings import Settings, SettingsError
from lambent.store import aliases, concurrency, event_invoke, functions, provisioned_concurrency
from lambent.store.changes import Change, VersionChanged
from lambent.store.event_queue import EventQueue
from lambent.store.group_commit import DataDirectoryTooNew
from lambent.store.keyring import KeyFileError
from lambent.store.metadata import MetadataStore
from lambent.store.packages import PackageStore
from lambent.store.secret import read_or_make
from lambent.wire.routes import Router
from lambent.worker import descriptor_limit, memory, processors
from lambent.worker.agent import Agent
from lambent.worker.execution_environment import EndpointFactory
from lambent.worker.messages import Event, Hello, MemoryMeasured
from lambent.worker.runtimes.catalog import Runtimes
from lambent.worker.sandbox.driver import SandboxError, Share
from lambent.worker.sandbox.drivers import make_driver
from lambent.worker.sandbox.probe import look_at_network
from lambent.worker.transport import WorkerServer

_log = logging.getLogger(__name__)

Entry = TypeVar("Entry")

SERVICES = ("lambda", "logs", "sts", "iam")
SLOW_CLIENT_SWEEP_S = 5
CLIENT_CONNECTIONS = SANDBOX_CONNECTIONS = 16_384
"""Of all clients, and of all functions to Lambent's own endpoint."""
CLIENT_PART, SANDBOX_PART = 2, 4
"""Of the memory that is reserved for Lambent: a half, and a quarter, for what they make it hold."""
UNUSED_PACKAGES_SWEEP_S = 600


def serve(settings: Settings) -> int:
    """`lambent serve`: run until SIGTERM or SIGINT. Returns the exit code. Raises SettingsError."""
    return _run(_serve(settings, _networks(settings)), settings)


def serve_worker(settings: Settings, socket: Path) -> int:
    """`lambent worker`: a worker in a process of its own, until SIGTERM or SIGINT. Returns the exit code."""
    return _run(_serve_worker(settings, socket), settings)


def _run(work: Coroutine[Any, Any, None], settings: Settings) -> int:
    operator_log.configure(settings.log_level)
    descriptor_limit.raise_to_most()
    refusals: list[BaseException] = []
    try:
        uvloop.run(work)
    except* (
        ListenError,
        DataDirectoryError,
        DataDirectoryTooNew,
        KeyFileError,
        SandboxError,
        WorkerUnreachable,
    ) as errors:
        refusals += errors.exceptions
    for refusal in refusals:
        print(f"lambent: {refusal}", file=sys.stderr)
    return 1 if refusals else 0


def _networks(settings: Settings) -> Networks:
    try:
        return networks(settings.network, settings.networks)
    except ValueError as error:
        raise SettingsError(str(error)) from error


async def _serve(settings: Settings, networks: Networks) -> None:
    stopping = _stop_signals()
    listener = listen(
        settings.host, settings.port, without_authentication_allowed=settings.listen_without_authentication
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(listener.close)
        directory = DataDirectory(settings.data_dir)
        directory.open()
        stack.callback(directory.close)
        dispatcher, events, connections = await _open_server(settings, networks, stack, url_of(listener))
        accepting = await asyncio.get_running_loop().create_server(connections, sock=listener)
        print(f"Lambent is ready on {url_of(listener)} (data in {settings.data_dir})", flush=True)
        await stopping.wait()
        accepting.close()
        events.stop()
        await connections.drain(settings.shutdown_grace_s)
        await dispatcher.close(settings.shutdown_grace_s)
        connections.close()
        await events.close(settings.shutdown_grace_s)


async def _open_server(
    settings: Settings, networks: Networks, stack: contextlib.AsyncExitStack, url: str
) -> tuple[Dispatcher, EventInvocations, Connections]:
    """Make and open every part; the stack closes them in the opposite order."""
    clock, ids = SystemClock(), RandomIds()
    data = settings.data_dir
    store = MetadataStore(data / "metadata.sqlite", settings.environment_key_file)
    await store.open()
    if store.resealed:
        _log.info("environment variables sealed under the first key", extra={"records": store.resealed})
    stack.push_async_callback(store.close)
    event_queue = EventQueue(data / "events.sqlite")
    await event_queue.open()
    stack.push_async_callback(_close_event_queue, event_queue)
    packages = PackageStore(data / "packages")
    stack.push_async_callback(packages.close)
    logs = LogStore(data / "logs", clock)
    await logs.open()
    stack.push_async_callback(logs.close)
    ledger = Ledger(data / "ledger")
    stack.callback(ledger.close)
    runtimes = Runtimes(settings.runtimes_dir, settings.node, settings.node_client, settings.python_search)
    issued = IssuedCredentials()

    dispatcher = Dispatcher(
        clock=clock,
        timers=asyncio.get_running_loop(),
        ledger=ledger,
        logs=logs,
        credentials=issued,
        networks=networks,
        new_id=partial(ids.hex, 32),
        limits=Limits(settings.concurrency_limit, settings.requests_per_s_per_concurrency, settings.scale_out_per_10_s),
        policy=Policy(
            settings.memory_overcommit,
            settings.memory_reserve_mib,
            settings.waiting_for_memory,
            settings.wait_for_memory_s * 1_000_000,
        ),
        idle_timeout_s=settings.idle_timeout_s,
        maximal_life_s=settings.maximal_life_s,
    )
    configuration = ServingConfiguration()

    async def accept(account: str, function_arn: str, payload: bytes, trace_id: str) -> None:
        await accept_record(frontend, account, function_arn, payload, trace_id)

    deliveries = Deliveries(settings.endpoint_of, accept, clock)
    stack.callback(deliveries.close)
    events = EventInvocations(
        store=event_queue,
        configuration=configuration,
        deliveries=deliveries,
        clock=clock,
        timers=asyncio.get_running_loop(),
        places=settings.event_concurrency,
        retry_delay_s=settings.event_retry_delay_s,
    )

    def reserve(function: FunctionName, reserved: int | None) -> None:
        dispatcher.reserve(function, reserved)
        events.resume(function)

    configuration.on_superseded = dispatcher.supersede
    configuration.on_reservation = reserve
    configuration.on_event_invoke = dispatcher.look_again
    configuration.on_provisioned = dispatcher.provision
    configuration.on_snapshotted = dispatcher.restore
    configuration.on_removed = dispatcher.forget
    store.subscribe(configuration.apply)
    await _load_configuration(store, configuration)
    await events.open()

    control = Control(
        store=store,
        packages=packages,
        clock=clock,
        new_id=ids.uuid,
        code_link_secret=read_or_make(data / "code-link-secret"),
        concurrency_limit=settings.concurrency_limit,
        buckets=CodeBuckets(partial(settings.endpoint_of, "s3"), clock),
        provisioned=ProvisionedEnvironments(configuration, dispatcher),
        snapshots=TemplatesOfVersions(dispatcher),
        snap_start_runtimes=SNAP_START_RUNTIMES
        | (SNAP_START_OLDER_RUNTIMES if settings.snap_start_on_older_runtimes else frozenset()),
    )
    preparation = Preparation(control, runtimes)
    settlement = MappingSettlement(control)
    tasks = RequestTasks()
    stack.push_async_callback(tasks.close)
    operations = _by_service(
        {
            "lambda": control_operations(control),
            "logs": logs_operations(logs),
            "iam": iam_operations(Roles(store, clock)),
            "sts": sts_operations(),
        }
    )
    frontend = Frontend(configuration, dispatcher, clock, ids, random.random, events.accept)
    events.attempt = partial(attempt, frontend)
    invocations = invoke_operations(frontend)
    door = FrontDoor(
        router=Router(SERVICES),
        identity=Identity(issued, account=settings.account, region=settings.region),
        handlers={name: tasks.handler(operation) for name, operation in operations.items()}
        | _by_service({"lambda": invocations}),
        pages={"health": health_page(__version__), "code": code_page(packages, control.code_link_secret, clock)},
        tasks=tasks,
        new_id=ids.uuid,
    )
    await _open_operator_door(settings, stack, tasks, dispatcher, events)
    allowance = _allowance(settings, CLIENT_CONNECTIONS, CLIENT_PART)
    connections = Connections(door.serve, allowance, door.too_large)
    await _open_worker(settings, stack, dispatcher, connections, packages, runtimes, url)
    # Nothing is running yet, so nobody can miss what a killed server has left of changes that were never made.
    await packages.forget(lambda: store.read(functions.digests_in_use), clock.monotonic_us(), unused_for_us=0)
    dispatcher.start()
    if networks.reach_out():
        _tell_missing_network(settings)
    await stack.enter_async_context(
        _background(
            preparation.run(),
            settlement.run(),
            _forget_unused_packages(packages, store, clock),
            _sweep_slow_clients(connections),
            events.run(),
        )
    )
    return dispatcher, events, connections


async def _open_operator_door(
    settings: Settings,
    stack: contextlib.AsyncExitStack,
    tasks: RequestTasks,
    dispatcher: Dispatcher,
    events: EventInvocations,
) -> None:
    async def environments() -> object:
        return operator_views.environments(dispatcher.census())

    async def queue() -> object:
        return operator_views.queues(await events.queues())

    views = {"environments": environments, "queue": queue}
    stack.callback((await open_operator_door(settings.data_dir, operator_connections(views, tasks))).close)


async def _close_event_queue(event_queue: EventQueue) -> None:
    await event_queue.close()
    counts = {"accepted": event_queue.accepted, "commits": event_queue.commits}
    _log.info("event queue closed", extra=counts)


async def _load_configuration(store: MetadataStore, configuration: ServingConfiguration) -> None:
    """Give the data plane all that there is. It lives as long as the server does, so the collector, which would look
    through it several times while it is made and at each of its full rounds, is kept away: with ten thousand
    functions that was a third of the start, and a tenth of a second of every such round."""
    gc.disable()
    try:
        for change in await store.read(_load_all):
            configuration.apply(change)
            _tell_unreadable(change)
        gc.freeze()
    finally:
        gc.enable()


def _load_all(connection: sqlite3.Connection) -> list[Change]:
    tables = (functions, aliases, concurrency, provisioned_concurrency, event_invoke)
    return [change for table in tables for change in table.load_all(connection)]


def _tell_unreadable(change: Change) -> None:
    if not isinstance(change, VersionChanged):
        return
    for version in (change.current, change.serving):
        if version is not None and version.configuration.unreadable is not None:
            arn, why = function_arn(version.function, version.version), version.configuration.unreadable.reason
            _log.warning("environment variables can not be read", extra={"function": arn, "why": why})
            return


def _tell_missing_network(settings: Settings) -> None:
    if settings.sandbox == "process" or settings.worker_socket is not None:
        return
    for finding in look_at_network():
        if not finding.ok:
            _log.warning("functions have no network", extra={"what": finding.name, "why": finding.explanation})


async def _open_worker(
    settings: Settings,
    stack: contextlib.AsyncExitStack,
    dispatcher: Dispatcher,
    connections: Connections,
    packages: PackageStore,
    runtimes: Runtimes,
    url: str,
) -> None:
    """Join the dispatcher to its worker: in this process, or in the one that listens on the setting's socket."""
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    if settings.worker_socket is not None:
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        link = WorkerLink(settings.worker_socket, Hello(address.hostname, address.port), dispatcher.on_event)
        await link.open(tasks)
        stack.push_async_callback(link.close)
        dispatcher.send = link.send
        return
    agent = _agent(settings, runtimes, packages, dispatcher.on_event, connections.of)
    await _open_agent(agent, tasks)
    stack.push_async_callback(agent.close)
    dispatcher.send = agent.handle


def _agent(
    settings: Settings,
    runtimes: Runtimes,
    packages: PackageStore,
    emit: Callable[[Event], None],
    front_door: EndpointFactory,
) -> Agent:
    async def unpack(digest: str) -> Path:
        try:
            return await packages.unpack(Package(digest, 0))
        except (OSError, ModelledError) as error:
            raise SandboxError(f"the deployment package can not be unpacked: {error}") from error

    async def merge(digests: Sequence[str]) -> Path:
        try:
            return await packages.merge([Package(digest, 0) for digest in digests])
        except (OSError, ModelledError) as error:
            raise SandboxError(f"the layers can not be unpacked: {error}") from error

    bounds = memory.bounds()
    memory_mib = settings.memory_mib or memory.detect_mib(bounds)
    driver = make_driver(
        settings.sandbox,
        data_dir=settings.data_dir,
        uid_base=settings.sandbox_uid_base,
        uid_count=settings.sandbox_uid_count,
        oci_runtime=settings.sandbox_oci_runtime,
        share=Share(
            max(0, memory_mib - settings.memory_reserve_mib),
            settings.cpu_capped,
            settings.processors or processors.detect(),
        ),
    )

    def measure() -> MemoryMeasured:
        ours = [memory.bound_of(driver.memory_group, memory_mib)] if settings.memory_mib and driver.memory_group else []
        return memory.measure(memory_mib, [*bounds, *ours])

    return Agent(
        driver=driver,
        measure=measure,
        runtimes=runtimes,
        unpack=unpack,
        merge=merge,
        clock=SystemClock(),
        emit=emit,
        front_door=front_door,
        endpoint_allowance=_allowance(settings, SANDBOX_CONNECTIONS, SANDBOX_PART),
        parallel_starts=settings.parallel_starts,
        fork=settings.fork_functions,
        preboot_minimum=settings.preboot_minimum,
        preboot_memory_mib=settings.preboot_memory_mib,
        billing_step_ms=settings.billing_step_ms,
    )


def _allowance(settings: Settings, connections: int, part: int) -> Allowance:
    """Of so many, who have that part of the reserve, or one of the largest deployment packages in any case; and half as
    much again for answers."""
    held_bytes = max(REQUEST_HEAD_BYTES + REQUEST_BODY_BYTES, settings.memory_reserve_mib * 1024**2 // part)
    return Allowance(connections=connections, held_bytes=held_bytes, answer_bytes=held_bytes // 2)


async def _open_agent(agent: Agent, tasks: asyncio.TaskGroup) -> None:
    for missing in await agent.open(tasks):
        _log.warning("protection missing", extra={"what": missing})


async def _serve_worker(settings: Settings, socket: Path) -> None:
    """Serve one dispatcher at a time. When its connection ends, so do its environments."""
    stopping = _stop_signals()
    packages = PackageStore(settings.data_dir / "packages", incoming="incoming-worker")
    runtimes = Runtimes(settings.runtimes_dir, settings.node, settings.node_client, settings.python_search)
    async with asyncio.TaskGroup() as tasks:

        async def make_agent(emit: Callable[[Event], None], front_door: EndpointFactory) -> Agent:
            agent = _agent(settings, runtimes, packages, emit, front_door)
            await _open_agent(agent, tasks)
            return agent

        server = WorkerServer(make_agent, tasks)
        accepting = await asyncio.get_running_loop().create_unix_server(server.connection, path=str(socket))
        print(f"Lambent's worker is ready on {socket}", flush=True)
        await stopping.wait()
        accepting.close()
        await server.close()
    await packages.close()


def _by_service(services: Mapping[str, Mapping[str, Entry]]) -> dict[tuple[str, str], Entry]:
    return {(service, name): entry for service, operations in services.items() for name, entry in operations.items()}


@contextlib.asynccontextmanager
async def _background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs the work until the server leaves."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(job) for job in work]
        yield
        for task in running:
            task.cancel()


async def _forget_unused_packages(packages: PackageStore, store: MetadataStore, clock: SystemClock) -> None:
    while True:
        await asyncio.sleep(UNUSED_PACKAGES_SWEEP_S)
        await packages.forget(lambda: store.read(functions.digests_in_use), clock.monotonic_us())


def _stop_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


async def _sweep_slow_clients(connections: Connections) -> None:
    while True:
        await asyncio.sleep(SLOW_CLIENT_SWEEP_S)
        connections.close_slow()
