"""The live view: rates, what is behind, and the levels."""

from __future__ import annotations

import io
import socket
import threading

import pytest
from rich.console import Console

from api.examples import LEVELS_EXAMPLE
from infra.local import view

METRICS = """\
# TYPE breakwater_sink_rows counter
breakwater_sink_rows_total{table="a"} 10.0
breakwater_sink_rows_total{table="b"} 5.0
# TYPE breakwater_sink_lag_records gauge
breakwater_sink_lag_records{table="a"} 2.0
"""


def test_samples_are_summed_over_their_labels() -> None:
    assert view.sums(METRICS) == {"breakwater_sink_rows_total": 15.0, "breakwater_sink_lag_records": 2.0}


def test_a_rate_approaches_what_is_done_per_second_and_never_falls_below_zero() -> None:
    stage = view.Stage(at_s=0.0)
    for second in range(1, 20):
        stage.take(second * 100.0, None, float(second))
    assert stage.rate == pytest.approx(100.0, rel=0.01)
    for second in range(20, 40):
        stage.take(0.0, None, float(second))
    assert 0 <= stage.rate < 1


def _drawn(of: view.View) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(of.render("publishing"))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def test_it_shows_stages_and_the_levels_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    answers = {"http://sink/metrics": METRICS.encode(), "http://api/v1/levels": json.dumps(LEVELS_EXAMPLE).encode()}
    monkeypatch.setattr(view, "get", answers.get)
    shown = view.View(Console(file=io.StringIO()))
    assert "No signal yet" in _drawn(shown)
    before = shown.moved
    shown.look("publishing", {"sink": "http://sink", "api": "http://gone"}, "http://api", 1234)
    text = _drawn(shown)
    assert "1,234" in text
    assert any(line.split()[:2] == ["sink", "15"] for line in text.splitlines())
    level = LEVELS_EXAMPLE["levels"][0]
    assert level["id"] in text
    assert level["signal"] in text
    assert shown.moved != before


def test_eighty_columns_show_every_level_on_one_line_with_its_score(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    widest = {
        **LEVELS_EXAMPLE["levels"][0],
        "id": "OVERNIGHT_HIGH",
        "direction": "RESISTANCE",
        "signal": "CONTESTED",
        "break_score_smooth": 100.0,
        "barrier": {**LEVELS_EXAMPLE["levels"][0]["barrier"], "state": "CONSUMPTION"},
    }
    answer = json.dumps({**LEVELS_EXAMPLE, "levels": [widest]}).encode()
    monkeypatch.setattr(view, "get", {"http://api/v1/levels": answer}.get)
    console = Console(file=io.StringIO(), width=80)
    shown = view.View(console)
    shown.look("publishing", {}, "http://api", 0)
    console.print(shown.render("publishing"))
    assert isinstance(console.file, io.StringIO)
    (line,) = [line for line in console.file.getvalue().splitlines() if "OVERNIGHT_HIGH" in line]
    assert all(word in line for word in ("resistance", " 100", "CONTESTED", "consumption"))


def test_a_part_that_does_not_answer_leaves_the_view_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "get", lambda _url: None)
    shown = view.View(Console(file=io.StringIO()))
    before = shown.moved
    shown.look("publishing", {"sink": "http://sink"}, "http://api", 0)
    assert shown.moved == before


def test_an_answer_that_breaks_off_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1_000)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        half = threading.Thread(target=answer)
        half.start()
        assert view.get(f"http://127.0.0.1:{server.getsockname()[1]}/metrics") is None
        half.join()


def test_what_is_no_terminal_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "get", lambda _url: None)
    monkeypatch.setattr(view, "PLAIN_INTERVAL_S", 0.0)
    output = io.StringIO()
    with view.View(Console(file=output)) as shown:
        shown.look("publishing", {}, "http://api", 7)
    counts, _, why = output.getvalue().strip().partition("; ")
    assert counts == "publishing: 7 events, 0 feature rows, 0 signals, 0 rows stored, 0 rows computed"
    assert "the first start compiles" in why
