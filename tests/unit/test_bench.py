"""The bench's own measures: a bench that counts wrongly would promise what nobody keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.rows import Row, at_least, at_most, table
from bench.sink import Far

times = st.lists(st.integers(0, 5000), max_size=60).map(lambda found: sorted(one / 1000 for one in found))


@given(times)
def test_the_busiest_second_is_found(starts: list[float]) -> None:
    """No window of a second that begins at a request holds more; and some window holds as many."""
    windows = [sum(1 for at in starts if 0 <= at - begin < 1.0) for begin in starts]
    assert Far(starts=starts).most_in(1.0) == max(windows, default=0)


def test_clearing_keeps_what_is_under_way() -> None:
    """A request that is being answered still counts against the concurrency after the counters were cleared."""
    far = Far(arrivals={"a": 1.0}, starts=[1.0], under_way=3, most_under_way=9)
    far.clear()
    assert (far.arrivals, far.starts, far.most_under_way) == ({}, [], 3)


def test_a_row_says_whether_it_is_as_wanted() -> None:
    """Limits belong to what is wanted; without a limit nothing is claimed."""
    assert at_least("rate", 10, "/s", 10).kept is True
    assert at_least("rate", 9.9, "/s", 10).kept is False
    assert at_most("p99", 40, "ms", 40).kept is True
    assert at_most("p99", 40.1, "ms", 40).kept is False
    assert Row("median", 3, "ms").kept is None
    assert Row("rate", 30, "/s", bare=60).ratio == 0.5


def test_the_table_marks_what_was_not_reached() -> None:
    """One line a row, in order; a miss stands out."""
    lines = table([at_least("rate", 5, "/s", 10, bare=20), Row("median", 123456.0, "ms")]).splitlines()
    assert len(lines) == 3
    assert "NO" in lines[1]
    assert "0.25" in lines[1]
    assert "123,456" in lines[2]
