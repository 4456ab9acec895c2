"""The worker process: arq's frame around our drains, timers and long jobs; each body is one call."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from arq import func
from arq.cron import cron
from arq.worker import Worker

from relay import __version__, jobs, telemetry
from relay.drain import Drain, Pace, ended
from relay.errors import StoreError
from relay.services import Services

DRAINS_PER_WORKER = 2
SWEEP_EVERY = 5
FEEDS_EVERY = 5
KEEPING_EVERY = 10
# Beside the portals, whose names hold no colon.
_KEEPING = "keeping:"
_HEARTBEAT_LIFE = 15.0
_LOOK_EVERY = 60.0
_FRAME_PAUSE = 0.5
_HAND_ON_AFTER = 0.1


class _Frame(Worker):
    """arq's worker, but for its end at the first broken connection: the drains that it runs must not go with it.

    Its claim of a job turns a lost connection into a WatchError that no retry of the pool sees.
    """

    def __init__(self, *, trouble: Callable[[Exception], None], **settings: Any) -> None:
        super().__init__(**settings)
        self._trouble = trouble

    async def _poll_iteration(self) -> None:
        try:
            await super()._poll_iteration()
        except jobs.FRAME_ERRORS as error:
            self._trouble(error)
            await asyncio.sleep(_FRAME_PAUSE)
            # A claim that broke off keeps its slot, and nothing runs that would give it back.
            for _ in range(self.job_counter - sum(not task.done() for task in self.tasks.values())):
                self._release_sem_dec_counter_on_complete()


class WorkerProcess:
    """One incarnation of a worker: its arq frame, its drains and the way it stops."""

    def __init__(self, services: Services, *, pace: Pace | None = None) -> None:
        self._services = services
        self._pace = pace or Pace()
        self._name = f"w:{uuid.uuid4().hex[:12]}"
        self._stop = asyncio.Event()
        self._stopping: list[bool] = []
        self._drains = 0
        self._own_drains = 0
        self._feeding: dict[str, asyncio.Task[None]] = {}
        self._looked_at = services.clock()

    async def run(self, *, signals: bool = True) -> None:
        """Work until SIGTERM or SIGINT, then finish what is on the wire within the grace, and end."""
        loop = asyncio.get_running_loop()
        if signals:
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(one, self.stop, signal.Signals(one).name)
        self._record(telemetry.ServiceStarted(role="worker", version=__version__))
        hide_metrics = self._expose_metrics()
        while not self._stop.is_set():
            frame = self._frame()
            main = asyncio.create_task(frame.async_run())
            stopped = asyncio.create_task(self._stop.wait())
            await asyncio.wait((main, stopped), return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                await self._wind_down(frame)
            stopped.cancel()
            await self._close(frame, main)
        await ended(*self._feeding.values())
        hide_metrics()
        with contextlib.suppress(StoreError):
            await self._services.store.leave(worker=self._name)

    def stop(self, reason: str = "asked to") -> None:
        """Claim nothing more and end; safe to call more than once."""
        if not self._stop.is_set():
            self._record(telemetry.ServiceStopping(role="worker", version=__version__, reason=reason))
        self._stopping.append(True)
        self._stop.set()

    def _expose_metrics(self) -> Callable[[], None]:
        port = self._services.settings.relay.worker_metrics_port
        if port is None:
            return lambda: None
        try:
            return self._services.telemetry.expose(port)
        except OSError as error:
            # Work goes on without: a second worker on this host has the port, as a rule.
            reason = f"metrics are not shown on port {port}: {error.strerror}"
            self._record(telemetry.ServiceStarted(role="worker", version=__version__, address=reason))
            return lambda: None

    def _frame(self) -> Worker:
        return _Frame(
            trouble=self._frame_trouble,
            functions=[
                func(self._guarded(self._drain), name=jobs.DRAIN, max_tries=1_000_000),
                func(self._guarded(self._replay), name=jobs.REPLAY, max_tries=1_000_000),
                func(self._guarded(self._errand), name=jobs.ERRAND, max_tries=1),
            ],
            cron_jobs=[
                cron(
                    self._guarded(self._sweep),
                    name=f"{self._services.keys.prefix}{jobs.SWEEP}",
                    second=set(range(0, 60, SWEEP_EVERY)),
                    timeout=jobs.JOB_TIMEOUT,
                    keep_result=0,
                ),
                cron(
                    self._guarded(self._feeds),
                    name=f"{self._services.keys.prefix}{jobs.FEEDS}",
                    second=set(range(0, 60, FEEDS_EVERY)),
                    timeout=jobs.JOB_TIMEOUT,
                    keep_result=0,
                ),
                cron(
                    self._guarded(self._keeping),
                    name=f"{self._services.keys.prefix}{jobs.KEEPING}",
                    second=set(range(0, 60, KEEPING_EVERY)),
                    timeout=jobs.JOB_TIMEOUT,
                    keep_result=0,
                ),
            ],
            redis_pool=jobs.pool(self._services.url, self._services.jobs),
            queue_name=self._services.keys.queue,
            health_check_key=f"{self._services.keys.prefix}arq:health:{self._name}",
            health_check_interval=10,
            on_startup=self._guarded(self._begin),
            handle_signals=False,
            job_timeout=self._job_timeout,
            max_jobs=DRAINS_PER_WORKER * 3 + 6,
            # Above all that can ever be claimed at once: arq reads only the head of its queue.
            queue_read_limit=2000,
            poll_delay=0.1,
            keep_result=0,
            max_tries=1_000_000,
            job_serializer=jobs.serialize,
            job_deserializer=jobs.deserialize,
            log_results=False,
        )

    @property
    def _job_timeout(self) -> float:
        """A drain finishes what it holds after its life: arq must not cut it off before a stop would."""
        return max(jobs.JOB_TIMEOUT, self._pace.life + self._services.settings.relay.shutdown_grace + 10.0)

    def _frame_trouble(self, error: Exception) -> None:
        self._record(telemetry.StoreTrouble(reason=f"the worker's frame has no store ({type(error).__name__})"))

    async def _wind_down(self, frame: Worker) -> None:
        """Let the drains finish what they hold, at most for the grace."""
        frame.allow_pick_jobs = False
        running = [task for task in (*frame.tasks.values(), *self._feeding.values()) if not task.done()]
        if running:
            await asyncio.wait(running, timeout=self._services.settings.relay.shutdown_grace)

    async def _close(self, frame: Worker, main: asyncio.Task[None]) -> None:
        """End arq's frame; what it raises is told, and the work it held comes back by our leases."""
        await ended(main, *frame.tasks.values())
        for error in await asyncio.gather(main, return_exceptions=True):
            if isinstance(error, jobs.FRAME_ERRORS):
                self._record(telemetry.StoreTrouble(reason=f"the worker's frame ended ({type(error).__name__})"))
            elif isinstance(error, Exception):
                self._record(telemetry.OwnFault(where="worker", error=error))
        with contextlib.suppress(*jobs.FRAME_ERRORS, asyncio.CancelledError):
            await frame.close()
        if not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)

    # Bodies of the jobs ------------------------------------------------------------------------

    async def _begin(self, _ctx: dict[Any, Any]) -> None:
        await self._alive()
        await self._start_missing_drains()

    async def _alive(self) -> None:
        await self._services.store.heartbeat(
            now=self._services.clock(),
            life=_HEARTBEAT_LIFE,
            worker=self._name,
            serves=tuple(self._services.targets),
        )

    async def _drain(self, context: dict[Any, Any], started_by: str = jobs.BY_WORKER) -> None:
        if started_by == jobs.BY_BELL and (await self._live_drains()) >= await self._wanted_drains():
            return  # rung while nobody was there; somebody is by now
        if self._own_drains >= DRAINS_PER_WORKER:
            # For a worker that has fewer: with all drains in one, nobody would work for a while when that one dies.
            if await self._live_drains() < await self._wanted_drains():
                await asyncio.sleep(_HAND_ON_AFTER)
                await jobs.enqueue(context["redis"], self._services.jobs, jobs.DRAIN)
            return
        self._drains += 1
        self._own_drains += 1
        counted = True
        drain = Drain(
            store=self._services.store,
            pipeline=self._services.pipeline,
            wake=self._services.wake,
            outside=self._services.outside,
            worker=self._name,
            name=f"{self._name}:{self._drains}",
            stop=self._stop,
            pace=self._pace,
        )

        def ends() -> None:
            nonlocal counted
            self._own_drains -= counted
            counted = False

        async def successor() -> None:
            ends()
            # This one still counts as alive: it is replaced, not added to, so that their number never grows.
            if await self._live_drains() <= await self._wanted_drains():
                await jobs.enqueue(context["redis"], self._services.jobs, jobs.DRAIN)

        try:
            await drain.run(successor)
        finally:
            ends()

    async def _sweep(self, context: dict[Any, Any]) -> None:
        await self._alive()
        await self._services.pipeline.sweep()
        await self._look_at_store()
        await self._start_missing_drains(context["redis"])
        for plan in await self._services.replays.unfinished():
            await jobs.enqueue(context["redis"], self._services.jobs, jobs.REPLAY, plan)
        if self._services.watch is not None:
            await self._services.watch.tick()

    async def _feeds(self, _context: dict[Any, Any]) -> None:
        """Look at what is due of Planday's lists, portals side by side.

        Not within the timer's own job, whose time is limited: a first look at a large portal may take longer.
        """
        feeds = self._services.feeds
        for name in self._services.settings.portals if feeds is not None else ():
            running = self._feeding.get(name)
            if (running is None or running.done()) and not self._stop.is_set():
                assert feeds is not None
                body = self._guarded(partial(feeds.tick, name))
                self._feeding[name] = asyncio.create_task(body(stopping=self._stop.is_set))

    async def _look_at_store(self) -> None:
        """Once a minute: whether this Redis is still one that may hold what was accepted."""
        now = self._services.clock()
        if now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        for finding in await self._services.look_at_store():
            if finding.level == "error":
                self._record(telemetry.StoreTrouble(reason=str(finding)))

    async def _replay(self, context: dict[Any, Any], plan: str) -> None:
        if await self._services.runner.run(plan, stopping=self._stopping):
            await jobs.enqueue(context["redis"], self._services.jobs, jobs.REPLAY, plan)

    async def _errand(self, _context: dict[Any, Any], errand: str, kind: str, name: str, by: str) -> None:
        await self._services.errands.run(errand, kind, name, by)

    async def _keeping(self, _context: dict[Any, Any]) -> None:
        """Retention, and erasures that lost their process; beside the timer's own job, whose time is limited."""
        running = self._feeding.get(_KEEPING)
        if (running is None or running.done()) and not self._stop.is_set():
            body = self._guarded(self._services.keeping.tick)
            self._feeding[_KEEPING] = asyncio.create_task(body(stopping=self._stop.is_set))

    async def _live_drains(self) -> int:
        _, drains = await self._services.store.live(now=self._services.clock())
        return drains

    async def _wanted_drains(self) -> int:
        workers, _ = await self._services.store.live(now=self._services.clock())
        return max(workers, 1) * DRAINS_PER_WORKER

    async def _start_missing_drains(self, arq: Any = None) -> None:
        for _ in range(max(await self._wanted_drains() - await self._live_drains(), 0)):
            await jobs.enqueue(arq or self._services.arq, self._services.jobs, jobs.DRAIN)

    def _guarded(self, body: Callable[..., Awaitable[None]]) -> Any:
        """arq forgets a job for good when it raises; nothing of ours may depend on that, so nothing raises."""

        async def run(*args: Any, **named: Any) -> None:
            try:
                await body(*args, **named)
            except StoreError as error:
                self._record(telemetry.StoreTrouble(reason=str(error)))
            except Exception as error:
                self._record(telemetry.OwnFault(where=getattr(body, "__name__", "feeds"), error=error))

        return run

    def _record(self, happening: telemetry.Happening) -> None:
        self._services.outside.record(happening)
