"""`events tail`, `listen` and `stats --watch` as processes, against a store that another process could own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import termios
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner

from relay.cli.main import app
from relay.events import Attempt, DeliveryState, Event, Outcome, event_id, idempotency_key
from relay.services import Services, open_services
from relay.settings import load
from relay.store.server import EmbeddedServer
from relay.store.work import Finished, Lane, Settled
from tests.integration.terminal import PATIENCE, on_terminal, piped

CONFIG = """
[targets.hours]
type = "webhook"
url = "https://payroll.example/hooks"
signing_secret = "env:TEST_SIGNING_SECRET"
events = ["planday.*"]
fields = ["class:A", "class:B", "class:E"]
"""
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
LANE = Lane(target="hours", concurrency=10, per_second=None, burst=1, limiter="hours", dedupes=True)
SHIFT = {
    "id": 1,
    "employeeId": 910233,
    "comment": "a word of somebody's",
}
PERSON = {"id": 910233, "firstName": "Anna", "salaryIdentifier": "S-17"}


class Line:
    """The line that the commands look at; one step at a time, through the verbs of the store."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.count = 0

    def act(self, call: Callable[[Services], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with open_services(load(self.environ, role="store"), worker=False) as services:
                return await call(services)

        return asyncio.run(run())

    def accept(self, type_: str = "planday.shift.approved") -> str:
        self.count += 1
        name = f"{os.getpid()}-{self.count}"

        async def accept(services: Services) -> None:
            event = Event(
                id=event_id("planday", name),
                source="planday",
                sender_id=name,
                type=type_,
                portal=4100001,
                entity="shift",
                entity_id=str(self.count),
                received_at=services.clock(),
            )
            await services.intake.accept([event])

        self.act(accept)
        return event_id("planday", name)

    def route(self, *targets: str) -> None:
        async def route(services: Services) -> None:
            now = services.clock()
            claim = await services.store.claim([], now=now, lease=10, most_events=10, most_deliveries=0)
            for one in claim.events:
                envelope = {
                    "specversion": "1.0",
                    "id": one.id,
                    "source": "urn:planday:portal:4100001",
                    "type": "planday.shift.approved",
                    "subject": f"shift/{self.count}",
                    "data": {"object": SHIFT, "related": {"employee": PERSON}, "enrichment": {"state": "complete"}},
                }
                body = json.dumps(envelope).encode()
                await services.store.finish(
                    Finished(id=one.id, token=one.token, envelope=body, targets=targets), now=now
                )

        self.act(route)

    def settle(self, state: DeliveryState, outcome: Outcome) -> None:
        async def settle(services: Services) -> None:
            now = services.clock()
            claim = await services.store.claim([LANE], now=now, lease=10, most_events=0, most_deliveries=10)
            for one in claim.deliveries:
                attempt = Attempt(
                    number=one.attempt, started_at=now, ended_at=now + 0.05, outcome=outcome, reason="503", status=503
                )
                due = now + 60 if state is DeliveryState.WAITING else None
                await services.store.settle(
                    Settled(
                        id=one.id,
                        target=one.target,
                        token=one.token,
                        state=state,
                        reason="refused",
                        attempt=attempt,
                        due_at=due,
                    ),
                    now=now,
                )

        self.act(settle)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A running embedded store of its own."""
    folder = tmp_path_factory.mktemp("following")
    (folder / "relay.toml").write_text(CONFIG, encoding="utf-8")
    with EmbeddedServer(folder / "data", appendfsync="everysec"):
        yield Line({"RELAY_CONFIG": str(folder / "relay.toml"), "RELAY_DATA_DIR": str(folder / "data")})


class Program(ThreadingHTTPServer):
    """The program that somebody writes: keeps what it gets, answers what it is told to."""

    def __init__(self) -> None:
        self.got: Queue[tuple[dict[str, str], bytes]] = Queue()
        self.status = 204
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks"


class _Handler(BaseHTTPRequestHandler):
    server: Program

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.put(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def program() -> Iterator[Program]:
    with Program() as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_tail_tells_what_comes_and_what_becomes_of_it(line: Line) -> None:
    """A line per event, one per failure and end; Ctrl-C ends it with 130 and no word more."""
    line.accept()
    line.route()
    with piped("events", "tail", environ=line.environ) as tail:
        tail.expect("Ctrl-C ends it")
        tail.expect("\n")
        first = line.accept()
        tail.expect(f"planday.shift.approved  shift/{line.count}  portal 4100001  {first}\n")
        line.route("hours")
        line.settle(DeliveryState.WAITING, Outcome.RETRY)
        assert "hours  failed  50 ms  503  again at " in tail.expect(f"{first}\n")
        line.act(lambda services: services.desk.cancel(first, "hours", by="us", reason="enough"))
        assert "hours  cancelled" in tail.expect(f"{first}\n")
        second = line.accept()
        line.route()
        tail.expect(second)
        assert "unrouted  no target takes it" in tail.expect(f"{second}\n")
        tail.process.send_signal(signal.SIGINT)
        assert tail.ended() == 130
        assert "\x1b" not in tail.raw, "no colour where nobody looks"


def test_a_tail_for_programs_is_a_json_object_a_line(line: Line) -> None:
    """`what` says which it is; --output quiet prints ids alone; what came before is told with --since."""
    event = line.accept("planday.shift.published")
    line.route("hours")
    line.settle(DeliveryState.DELIVERED, Outcome.DELIVERED)
    wanted = ("events", "tail", "--type", "planday.shift.published", "--since", "1m")
    with piped(*wanted, "--json", "--target", "hours", environ=line.environ) as tail:
        tail.expect('"excerpt":""}}\n')
        told = [json.loads(text) for text in tail.raw.splitlines()]
        assert [one["what"] for one in told] == ["event", "handled", "delivery"]
        assert {one["event"]["id"] for one in told} == {event}
        assert (told[2]["delivery"]["state"], told[2]["attempt"]["status"]) == ("delivered", 503)
    with piped(*wanted, "--output", "quiet", environ=line.environ) as quiet:
        assert quiet.expect("\n") == f"{event}\n"


def test_a_reader_that_has_enough_ends_a_tail(line: Line) -> None:
    """As `| head -1` does: no traceback, exit code 0."""
    with piped("events", "tail", "--since", "1h", "--output", "quiet", environ=line.environ) as tail:
        line.accept()
        line.route()
        tail.expect("evt_")
        os.close(tail.fd)
        line.accept()
        line.route()
        assert tail.ended() == 0


def test_what_is_listened_to_is_forwarded_signed(line: Line, program: Program) -> None:
    """As a webhook target would get it, with the classes A and B; no delivery is touched, and refusals are shown."""
    with piped("listen", "--forward-to", program.url, environ=line.environ) as listen:
        secret = listen.expect(" (--secret").split()[2]
        listen.expect("Ctrl-C ends it")
        event = line.accept()
        line.route("hours")
        headers, body = program.got.get(timeout=PATIENCE)
        Webhook(secret).verify(body, headers)
        told = json.loads(body)
        assert (told["id"], told["data"]["object"]) == (event, {"id": 1, "employeeId": 910233})
        assert told["data"]["related"] == {"employee": {"id": 910233}}
        assert (headers["webhook-id"], headers["planday-relay-attempt"]) == (event, "1")
        listen.expect("204 in ")
        listen.expect(event)
        program.status = 500
        line.accept()
        line.route()
        listen.expect("500 in ")
    deliveries = line.act(lambda services: services.reading.delivery(event, "hours"))
    assert (deliveries.state, deliveries.attempts) == (DeliveryState.WAITING, 0)


def test_one_can_listen_as_a_target(line: Line, program: Program) -> None:
    """With its fields and its idempotency key, under a secret of one's own; quiet says only what was not taken."""
    environ = {**line.environ, "LISTEN_SECRET": SECRET}
    options = ("--as", "hours", "--secret", "env:LISTEN_SECRET", "--since", "1m", "--output", "quiet")
    wanted = ("--type", "planday.shift.assigned")
    with piped("listen", "--forward-to", program.url, *options, *wanted, environ=environ) as listen:
        event = line.accept("planday.shift.assigned")
        line.route("hours")
        headers, body = program.got.get(timeout=PATIENCE)
        Webhook(SECRET).verify(body, headers)
        assert json.loads(body)["data"]["related"]["employee"]["salaryIdentifier"] == "S-17"
        assert headers["idempotency-key"] == idempotency_key(event, "hours")
        program.shutdown()
        program.server_close()
        line.accept("planday.shift.assigned")
        line.route()
        assert event not in listen.expect("refused")
        assert "whsec_" not in listen.text


@pytest.mark.parametrize(
    "url", ["https://payroll.example/x", "http://10.0.0.1/x", "ftp://127.0.0.1/x", "127.0.0.1:3000", "http://[::1", ""]
)
def test_nothing_is_forwarded_off_this_machine(line: Line, url: str) -> None:
    """Exit code 2, and what to use instead."""
    result = CliRunner().invoke(app, ["listen", "--forward-to", url], env=line.environ)
    assert result.exit_code == 2
    assert "only an address of this machine" in result.stderr


def test_who_listens_as_nobody_is_told(line: Line) -> None:
    """A target that is not there is exit code 4; a secret on the command line is refused and not repeated."""
    base = ["listen", "--forward-to", "http://127.0.0.1:9/x"]
    assert CliRunner().invoke(app, [*base, "--as", "huors"], env=line.environ).exit_code == 4
    refused = CliRunner().invoke(app, [*base, "--secret", SECRET], env=line.environ)
    assert (refused.exit_code, SECRET in refused.output) == (2, False)


def test_on_a_terminal_there_are_keys(line: Line, program: Program) -> None:
    """A list that one moves in; r forwards again, o opens request and answer, q quits; the terminal is as before."""
    with on_terminal("listen", "--forward-to", program.url, environ=line.environ) as (screen, terminal):
        before = termios.tcgetattr(terminal)
        screen.expect("waiting for the first event")
        first = line.accept()
        line.route("hours")
        program.got.get(timeout=PATIENCE)
        screen.expect("204 in ")
        second = line.accept()
        line.route("hours")
        program.got.get(timeout=PATIENCE)
        screen.expect(second)
        screen.expect("204 in ")
        screen.press("\x1b[A")
        screen.expect("> ")
        program.status = 418
        screen.press("r")
        headers, _ = program.got.get(timeout=PATIENCE)
        assert (headers["webhook-id"], headers["planday-relay-attempt"]) == (first, "2")
        screen.expect("418 in ")
        screen.press("o")
        screen.expect("attempt 2: 418 in ")
        screen.press("\x1b[B")
        screen.expect('"employeeId": 910233')
        screen.press("q")
        assert screen.ended() == 0
        assert termios.tcgetattr(terminal)[3] == before[3], "echo and lines are back"


def test_totals_are_watched(line: Line) -> None:
    """On a terminal the whole screen, drawn anew until q; elsewhere one after the other, as JSON one a line."""
    with on_terminal("stats", "--watch", "--every", "0.2", environ=line.environ) as (screen, _):
        screen.expect("every 0.2 s")
        screen.expect("none: events wait")
        screen.expect("hours")
        screen.expect("every 0.2 s")
        screen.press("q")
        assert screen.ended() == 0
    with piped("stats", "--watch", "--every", "0.2", "--json", environ=line.environ) as watched:
        assert set(json.loads(watched.expect("\n"))["targets"]) == {"hours"}
        assert json.loads(watched.expect("\n"))["workers"] == 0
        watched.process.send_signal(signal.SIGINT)
        assert watched.ended() == 130
    with piped("stats", "--watch", "--every", "0.2", environ=line.environ) as watched:
        watched.expect(" UTC\n")
        watched.expect("oldest open")
        watched.expect(" UTC\n")
    assert CliRunner().invoke(app, ["stats", "--watch", "--fail-on-dead"], env=line.environ).exit_code == 2
