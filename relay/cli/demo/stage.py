"""The stage of the demo: a temporary folder, its configuration and secrets, and the processes on it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.cli.simulating import SLACK_PATH
from relay.cli.supervise import Program, Supervisor, log_file
from relay.errors import ConfigError, Fault, StoreError
from relay.settings import Settings, load
from relay.store.server import EmbeddedServer

USUAL_PORT, SIMULATOR_PORT = 8000, 8710
_PATIENCE = 2.0
_LOG_TAIL = 12
# In a clone a link to config/demo.toml, so that an installed package has it too.
_CONFIG = Path(__file__).parent.with_name("demo.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where everything of one demo is."""

    folder: Path
    simulator: str
    receiver: str
    environ: Mapping[str, str]
    settings: Settings
    server: EmbeddedServer

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def config(self) -> str:
        return self.environ["RELAY_CONFIG"]

    def keep(self, supervisor: Supervisor) -> None:
        """The store, which runs by now; simulator, receiver and worker, whose output goes to files."""
        supervisor.keep_store(self.server)
        port = self.simulator.rpartition(":")[2]
        commands = {
            "simulator": ("simulator", "--port", port, "--emit-to", f"{self.receiver}/in/planday"),
            "web": ("web",),
            "worker": ("worker",),
        }
        for name, arguments in commands.items():
            output = log_file(self.logs, name)
            supervisor.keep(
                Program(name=name, arguments=arguments, environ=self.environ, patience=_PATIENCE, output=output)
            )

    def log_tails(self) -> str:
        """The last lines of every process, for when something went wrong."""
        parts = []
        for log in sorted(self.logs.glob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:]
            parts += [f"--- {log.stem}", *lines]
        return "\n".join(parts)

    def clear(self) -> None:
        """Leave nothing behind."""
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def build(port: int | None) -> Stage:
    """A fresh stage; nothing runs yet. It sees nothing of the configuration and the Redis of this machine."""
    if os.environ.get("RELAY_ENV") == "production":
        raise ConfigError([Fault("RELAY_ENV", "the demo does not run where this is production")])
    folder = Path(tempfile.mkdtemp(prefix="relay-demo-"))
    simulator, receiver = free_port(SIMULATOR_PORT), port if port is not None else free_port(USUAL_PORT)
    try:
        _write(folder, simulator=simulator, receiver=receiver)
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RELAY_") and name not in ("REDIS_URL", "PORT")
        } | {
            "RELAY_CONFIG": str(folder / "relay.toml"),
            "RELAY_DATA_DIR": str(folder),
            "RELAY_ADMIN_TOKEN": secrets.token_hex(16),
        }
        return Stage(
            folder=folder,
            simulator=f"http://127.0.0.1:{simulator}",
            receiver=f"http://127.0.0.1:{receiver}",
            environ=environ,
            settings=load(environ),
            server=EmbeddedServer(folder),
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def free_port(wanted: int) -> int:
    """The usual port where nobody has it, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StoreError("no port of this machine is free")


def _write(folder: Path, *, simulator: int, receiver: int) -> None:
    """The configuration with this demo's ports, and the secrets that it points to."""
    from relay.simulator.identity import REFRESH_TOKENS
    from relay.simulator.payroll_standin import PAYROLL_SECRET
    from relay.simulator.relay_event_emitter import EMIT_SECRET

    text = _CONFIG.read_text(encoding="utf-8")
    text = text.replace(f":{SIMULATOR_PORT}", f":{simulator}").replace(f"port = {USUAL_PORT}", f"port = {receiver}")
    (folder / "relay.toml").write_text(text, encoding="utf-8")
    (folder / "secrets").mkdir(mode=0o700)
    bistro, harbour = REFRESH_TOKENS.values()
    for name, value in {
        "planday-source": EMIT_SECRET,
        "bistro-token": bistro,
        "harbour-token": harbour,
        "slack-url": f"http://127.0.0.1:{simulator}{SLACK_PATH}",
        "hours-signing": PAYROLL_SECRET,
    }.items():
        (folder / "secrets" / name).write_text(value + "\n", encoding="utf-8")
