"""Speed and memory of the relay beside bare baselines in the same run: `make bench`. Loopback only, bounded."""
