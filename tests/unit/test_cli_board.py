"""What `relay listen` shows and what its keys do, without a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.board import MOST_ROWS, Board, Row
from relay.cli.watching import keys_of

KEYS = st.sampled_from(["up", "down", "j", "k", "o", "enter", "esc", "r", "x"])
TEXTS = st.text(max_size=150)
ROWS = st.builds(
    Row,
    id=TEXTS,
    head=TEXTS,
    status=TEXTS,
    good=st.sampled_from([None, True, False]),
    details=st.lists(TEXTS, max_size=5),
)


@given(acts=st.lists(KEYS | ROWS, max_size=40), note=TEXTS, width=st.integers(1, 120), height=st.integers(1, 40))
def test_whatever_comes_it_fits_the_screen(acts: list[str | Row], note: str, width: int, height: int) -> None:
    """As many lines as there are, none too long, none that steers the terminal; a row is chosen if any is there."""
    board = Board(title="forwarding", note=note)
    for one in acts:
        if isinstance(one, Row):
            board.add(one)
        else:
            board.key(one)
        lines = board.lines(width=width, height=height)
        assert len(lines) == height
        assert all(len(line.text) <= width and line.text.isprintable() for line in lines)
        assert (board.row is None) == (not board.rows)


def filled(count: int) -> Board:
    board = Board(title="forwarding")
    for number in range(count):
        board.add(Row(id=f"evt_{number}", head=f"event {number}"))
    return board


def chosen(board: Board) -> str:
    assert board.row is not None
    return board.row.id


def test_the_newest_is_chosen_until_one_moves_away() -> None:
    """And what one looks at stays chosen when more comes."""
    board = filled(3)
    assert chosen(board) == "evt_2"
    board.key("up")
    board.add(Row(id="evt_3", head="event 3"))
    assert chosen(board) == "evt_1"
    for _ in range(9):
        board.key("down")
    board.add(Row(id="evt_4", head="event 4"))
    assert chosen(board) == "evt_4"


def test_only_so_many_are_kept() -> None:
    """The oldest go; the chosen one stays the same."""
    board = filled(MOST_ROWS)
    for _ in range(10):
        board.key("up")
    before = chosen(board)
    for number in range(5):
        board.add(Row(id=f"evt_new_{number}", head="new"))
    assert (len(board.rows), chosen(board)) == (MOST_ROWS, before)


def test_details_are_opened_scrolled_and_closed() -> None:
    """While they are open, moving moves in them."""
    board = filled(2)
    assert board.row is not None
    board.row.details = [f"line {number}" for number in range(50)]
    board.key("o")
    board.key("down")
    shown = [one.text for one in board.lines(width=40, height=10)]
    assert shown[1:3] == ["line 1", "line 2"]
    assert chosen(board) == "evt_1"
    board.key("esc")
    assert any("event 1" in one.text for one in board.lines(width=40, height=10))


def test_a_word_of_the_store_stands_beside_the_keys() -> None:
    """And leaves the secret where it is."""
    board = Board(title="forwarding", note="signed with whsec_x")
    board.say("the store did not answer; waiting for it")
    first, second, *_, last = (one.text for one in board.lines(width=120, height=10))
    assert (first, second) == ("forwarding", "signed with whsec_x")
    assert last.startswith("the store did not answer; waiting for it   up/down")


def test_keys_ask_for_what_the_screen_cannot_do() -> None:
    """Forwarding again needs a row; quitting does not."""
    assert Board(title="").key("r") is None
    assert Board(title="").key("q") == "quit"
    assert filled(1).key("r") == "again"


@pytest.mark.parametrize(
    ("sent", "keys", "rest"),
    [
        ("\x1b[A\x1b[Bq", ["up", "down", "q"], ""),
        ("\x1bOAr\r", ["up", "r", "enter"], ""),
        ("\x1b", ["esc"], ""),
        ("a\x1b[", ["a"], "\x1b["),
        ("\x1b[5~o", ["o"], ""),
        ("\x1b[1;5Co", ["o"], ""),
        ("\x1bxo", ["o"], ""),
    ],
)
def test_keys_are_read_as_a_terminal_sends_them(sent: str, keys: list[str], rest: str) -> None:
    """Arrows in both their forms; a key that means nothing here is passed over whole."""
    assert keys_of(sent) == (keys, rest)


@given(sent=st.text(alphabet="\x1b[OAB~5;qro", max_size=12))
def test_no_sequence_of_keys_is_too_much(sent: str) -> None:
    """What is left over is the beginning of an arrow key, and nothing else."""
    keys, rest = keys_of(sent)
    assert rest in ("", "\x1b[", "\x1bO")
    assert len(keys) <= len(sent)
