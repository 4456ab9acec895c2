"""`python -m relay.simulator [port]`: the simulator by itself."""

import asyncio
import sys

from relay.simulator.server import DEFAULT_PORT, serve


def main() -> None:
    """Serve until interrupted."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PORT
    asyncio.run(serve(port=port, ready=_announce))


def _announce(port: int) -> None:
    sys.stderr.write(f"simulator on http://127.0.0.1:{port}\n")


if __name__ == "__main__":
    main()
