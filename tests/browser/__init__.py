"""The dashboard in a real Chromium, over real processes; skipped, and said so, where there is none."""
