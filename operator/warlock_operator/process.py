"""
The operator as one process: wires the parts, leads, serves, and ends with one logged reason.

Ends when it is asked to (SIGTERM), when the Lease is lost, when kopf gives up, or when a task of
ours ends that should not. Whoever started it starts it again; nothing is lost by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace

from warlock_operator import handlers
from warlock_operator import log as fields
from warlock_operator.core.inventory import Inventory
from warlock_operator.errors import OperatorError
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.discovery import wait_for_kinds
from warlock_operator.kube.lease import Lease
from warlock_operator.kube.namespaces import NamespaceLabels
from warlock_operator.kube.recorder import Recorder
from warlock_operator.kube.secrets import KeySecrets
from warlock_operator.kube.status import StatusWriter
from warlock_operator.reconcile.finalizers import Finalizers
from warlock_operator.reconcile.fleet import Fleet
from warlock_operator.reconcile.gate import Gate
from warlock_operator.reconcile.prober import Prober
from warlock_operator.reconcile.publisher import Publisher
from warlock_operator.reconcile.surroundings import Leader, Surroundings
from warlock_operator.reconcile.turns import Turns
from warlock_operator.settings import Settings
from warlock_operator.transport.fixture import FixtureLinks
from warlock_operator.transport.link import LinkFactory
from warlock_operator.transport.players import PlayerQueries
from warlock_operator.transport.ssh import SshLinks
from warlock_operator.web.metrics import OperatorCollector, exposition
from warlock_operator.web.server import Health, served

log = logging.getLogger(__name__)


YOUNG_OBJECTS = 10_000
"""New ones before the garbage collector has a look; Python's own 700 is for scripts."""


class Ending:
    """Why the process ends: the first reason counts."""

    def __init__(self) -> None:
        self.reason = ""
        self.asked = False
        self._event = asyncio.Event()

    def end(self, reason: str, *, asked: bool = False) -> None:
        """End the process. asked: somebody wants it so, and it is no failure."""
        if not self._event.is_set():
            self.reason, self.asked = reason, asked
            self._event.set()

    def on_signals(self) -> None:
        """End on SIGTERM and SIGINT. Called again when kopf has put its own handlers there."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, functools.partial(self.end, number.name, asked=True))

    async def wait(self) -> None:
        """Wait until the process shall end."""
        await self._event.wait()


def make_links(settings: Settings) -> LinkFactory:
    """Give what reaches hosts: SSH, or hosts in memory for a try-out."""
    return FixtureLinks(settings) if settings.transport == "fixture" else SshLinks(settings)


async def serve(settings: Settings, links: LinkFactory | None = None) -> int:
    """
    Run the operator until it ends.

    Args:
        links: reaches hosts; by default what the settings say.

    Returns:
        The exit status: 0 where the end was asked for.
    """
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    ending = Ending()
    ending.on_signals()
    health = Health()
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(served(health, settings.web_address, settings.web_port))
        except OSError as error:
            place = f"{settings.web_address}:{settings.web_port}"
            log.error(
                "probes can't be served", extra={fields.ADDRESS: place, fields.DETAIL: str(error)}
            )
            return 1
        client = await stack.enter_async_context(await KubeClient.connect(settings))
        work = asyncio.create_task(_work(settings, client, links, health, ending))
        work.add_done_callback(lambda task: _worked(task, ending))
        await ending.wait()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await work
    log.log(
        logging.INFO if ending.asked else logging.ERROR,
        "operator ends",
        extra={fields.DETAIL: ending.reason},
    )
    return 0 if ending.asked else 1


def _worked(task: asyncio.Task[None], ending: Ending) -> None:
    if task.cancelled():
        return
    error = task.exception()
    ending.end(f"{type(error).__name__}: {error}" if error else "nothing is left to do")


async def _work(
    settings: Settings,
    client: KubeClient,
    links: LinkFactory | None,
    health: Health,
    ending: Ending,
) -> None:
    async with await KubeClient.connect(replace(settings, api_connections=1)) as aside:
        await _lead(settings, client, Lease(aside), links, health, ending)


async def _lead(
    settings: Settings,
    client: KubeClient,
    lease: Lease,
    links: LinkFactory | None,
    health: Health,
    ending: Ending,
) -> None:
    """Work from the first look at the apiserver on. lease: behind no other request in a queue."""
    await wait_for_kinds(client, _tell_missing)
    owner = await _patiently(client.owner_id, settings)
    health.waiting_for = "the Lease: another process leads"
    token = await lease.acquire()
    client.may_write = lambda: lease.held
    health.waiting_for = "every object to be seen"
    inventory = Inventory()
    recorder = Recorder(client, lease.identity)
    writer = StatusWriter(client, inventory.uid_of)
    secrets = KeySecrets(client, lambda name: fleet.secret_changed(name))
    labels = NamespaceLabels(client, lambda name: fleet.labels_changed(labels.all(), name))
    links = links or make_links(settings)
    around = Surroundings(
        settings=settings,
        inventory=inventory,
        links=links,
        prober=Prober(links, settings),
        secrets=secrets,
        finalizers=Finalizers(client, inventory),
        publisher=Publisher(writer, recorder),
        queries=PlayerQueries(settings),
        leader=Leader(owner, token, lease.identity),
        turns=Turns(),
    )
    fleet = Fleet(around, lambda error: ending.end(f"{type(error).__name__}: {error}"))
    gate = Gate(client, inventory, settings, fleet.put, fleet.gone)
    health.metrics = exposition(
        OperatorCollector(fleet.snapshot, writer.counters, recorder.counters)
    )

    async def caught_up() -> None:
        await secrets.synced.wait()
        await labels.synced.wait()

    async def begin() -> None:
        await gate.synced.wait()
        _set_aside()
        fleet.start()
        health.waiting_for = ""

    stop = asyncio.Event()
    try:
        await _all_of(
            ending,
            [
                ("lease", lease.hold(lambda reason: ending.end(f"leadership lost: {reason}"))),
                ("secrets", secrets.run()),
                ("namespaces", labels.run()),
                ("statuses", writer.run()),
                ("events", recorder.run()),
                ("gate", gate.run(caught_up)),
                ("kopf", handlers.watch(fleet, client.login, ending.on_signals, stop)),
            ],
            begin(),
        )
    finally:
        stop.set()
        await fleet.stop()
        await lease.release()


def _set_aside() -> None:
    """
    Keep the garbage collector off what is there for good: every object that exists.

    A whole round over ten thousand of them stops everything for a third of a second, several on a
    machine without time, and there were dozens while the hosts were being connected.
    """
    gc.collect()
    gc.freeze()


async def _all_of(
    ending: Ending,
    endless: Sequence[tuple[str, Coroutine[None, None, None]]],
    once: Coroutine[None, None, None],
) -> None:
    """Run tasks until the first of the endless ones ends; its name is the reason."""
    tasks = [asyncio.create_task(work, name=name) for name, work in endless]
    first = asyncio.create_task(once, name="begin")
    first.add_done_callback(lambda task: _begun(task, ending))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        task = next(iter(done))
        error = None if task.cancelled() else task.exception()
        ending.end(f"{task.get_name()}: {error or 'ended'}")
    finally:
        for task in (first, *tasks):
            task.cancel()
        await asyncio.gather(first, *tasks, return_exceptions=True)


def _begun(task: asyncio.Task[None], ending: Ending) -> None:
    """End where it has failed: one that leads and serves nobody is worse than none."""
    if not task.cancelled() and (error := task.exception()) is not None:
        ending.end(f"{task.get_name()}: {type(error).__name__}: {error}")


async def _patiently(ask: Callable[[], Awaitable[str]], settings: Settings) -> str:
    """Ask until there is an answer, for as long as the kinds were waited for."""
    async with asyncio.timeout(settings.crd_wait_seconds):
        while True:
            try:
                return await ask()
            except OperatorError as error:
                log.warning(
                    "the apiserver does not answer yet",
                    extra={fields.REASON: error.reason, fields.DETAIL: str(error)},
                )
                await asyncio.sleep(settings.crd_poll_seconds)


def _tell_missing(kinds: Sequence[str]) -> None:
    log.warning("kinds are missing; install the CRDs", extra={fields.DETAIL: ", ".join(kinds)})
