"""What the report may claim, and in which order it looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import ConfigError
from processors.study.analysis import AS_PUBLISHED, BASE_RATE, OFI, SCORE, VELOCITY, Report, split, study
from processors.study.episodes import BREAK, CENSORED, PRIMARY
from processors.study.ledger import Ledger
from processors.study.source import Session
from processors.study.tables import facts, multiplicity, plain, tables
from tests.support.study_sessions import Sessions, day, session

NOW = "2026-01-01T00:00:00+00:00"


def run(tmp_path: Path, sessions: list[Session], config_hash: str = "cafe", **options: Any) -> Report:
    return study(Sessions(sessions), Ledger(tmp_path / "ledger.jsonl"), config_hash, {"fee_usd": 2.25}, NOW, **options)


@pytest.fixture(scope="module")
def informed(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """24 sessions whose score knows something."""
    return run(tmp_path_factory.mktemp("informed"), [session(n, knowledge=1.0) for n in range(24)])


@pytest.mark.parametrize(("count", "training", "test"), [(0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 2, 1), (24, 16, 8)])
def test_the_last_third_is_the_test_unless_told(count: int, training: int, test: int) -> None:
    dates = [day(n) for n in range(count)]
    before, after = split(dates, None)
    assert (len(before), len(after)) == (training, test)
    assert before + after == dates


def test_a_date_divides_training_from_test() -> None:
    assert split([20250602, 20250603, 20250604], 20250603) == ([20250602], [20250603, 20250604])


@pytest.mark.parametrize("test_from", [20250601, 20250605])
def test_a_date_that_leaves_a_side_empty_is_refused(test_from: int) -> None:
    with pytest.raises(ConfigError, match=str(test_from)):
        split([20250602, 20250603], test_from)


def test_the_ledger_is_written_after_the_training_days_and_before_the_test_days(tmp_path: Path) -> None:
    log: list[str] = []

    class Watched(Ledger):
        def open_days(self, *arguments: Any) -> Any:
            log.append("ledger")
            return super().open_days(*arguments)

    source = Sessions([session(n, count=5) for n in range(3)], log)
    study(source, Watched(tmp_path / "ledger.jsonl"), "cafe", {}, NOW)
    assert log == [f"load {day(0)}", f"load {day(1)}", "ledger", f"load {day(2)}"]


def test_a_second_configuration_on_the_same_test_days_is_counted_and_shown(tmp_path: Path) -> None:
    sessions = [session(n, count=5) for n in range(3)]
    run(tmp_path, sessions)
    report = run(tmp_path, sessions, "beef")
    assert report.frozen is not None
    assert report.frozen.variants == 2
    assert dict(facts(report))["variants tried"].startswith("2 ")
    assert any("2 frozen configurations" in warning for warning in report.warnings)


@pytest.mark.parametrize(("count", "each"), [(19, 30), (24, 8)])
def test_few_sessions_or_episodes_claim_nothing(tmp_path: Path, count: int, each: int) -> None:
    report = run(tmp_path, [session(n, count=each, knowledge=1.0) for n in range(count)])
    assert report.verdict.startswith("This report claims nothing")


def test_enough_sessions_may_say_something(informed: Report) -> None:
    assert "claims nothing" not in informed.verdict
    assert "is above velocity alone" in informed.verdict


def test_a_score_that_knows_nothing_is_not_said_to_know(tmp_path: Path) -> None:
    report = run(tmp_path, [session(n) for n in range(24)])
    assert "cannot be told from velocity alone" in report.verdict or "is below" in report.verdict


@pytest.mark.parametrize("flagged", [True, False])
def test_simulated_data_are_circular_however_many(tmp_path: Path, flagged: bool) -> None:
    feed = "databento" if flagged else "sim"
    report = run(tmp_path, [session(n, knowledge=1.0, feed=feed) for n in range(24)], simulated=flagged)
    assert "in a circle" in report.verdict
    assert report.verdict.startswith("This report claims nothing")
    assert report.warnings[0].startswith("CIRCULAR")


def test_one_session_is_measured_in_sample_and_opens_no_test_day(tmp_path: Path) -> None:
    report = run(tmp_path, [session(0)])
    assert report.in_sample
    assert report.frozen is None
    assert not (tmp_path / "ledger.jsonl").exists()
    assert any(warning.startswith("IN SAMPLE") for warning in report.warnings)


def test_fits_come_from_training_days_alone(tmp_path: Path) -> None:
    sessions = [session(n, knowledge=1.0) for n in range(6)]
    whole = run(tmp_path, sessions)
    turned = [s._replace(episodes=s.episodes.copy()) if n >= 4 else s for n, s in enumerate(sessions)]
    for changed in turned[4:]:
        changed.episodes["outcome"] = 1 - changed.episodes["outcome"]
    other = run(tmp_path / "other", turned)
    assert other.primary.base_rate_training == whole.primary.base_rate_training
    # the same probabilities, the opposite truth
    assert other.reliability[SCORE].predicted.tolist() == whole.reliability[SCORE].predicted.tolist()
    assert other.primary.predictors[1].auc.value == pytest.approx(1 - whole.primary.predictors[1].auc.value)


def test_every_predictor_is_there_and_the_base_rate_has_no_skill(informed: Report) -> None:
    for prediction in informed.predictions:
        found = {predictor.name: predictor for predictor in prediction.predictors}
        assert list(found) == [BASE_RATE, AS_PUBLISHED, SCORE, VELOCITY, OFI]
        assert found[BASE_RATE].auc.value == 0.5
        assert found[BASE_RATE].skill.value == 0.0
        base = prediction.base_rate
        error = base * (1 - base) + (base - prediction.base_rate_training) ** 2
        assert found[BASE_RATE].brier.value == pytest.approx(error)
        assert found[SCORE].auc.value > 0.6
        assert found[SCORE].skill.value > 0.05


def test_what_speaks_against_a_break_is_no_weaker_rival_than_what_speaks_for_it(tmp_path: Path) -> None:
    def rival(sign: float) -> Report:
        sessions = [session(n, knowledge=1.0) for n in range(6)]
        for one in sessions:
            one.episodes["velocity"] = sign * (one.episodes["outcome"][:, PRIMARY] == BREAK)
        return run(tmp_path / str(sign), sessions)

    for told in (rival(1.0), rival(-1.0)):
        velocity = {predictor.name: predictor for predictor in told.primary.predictors}[VELOCITY]
        assert velocity.auc.value > 0.9
        assert told.primary.advantages[VELOCITY].value < 0
        assert told.primary.advantages[VELOCITY].value == pytest.approx(
            {predictor.name: predictor for predictor in told.primary.predictors}[SCORE].auc.value - velocity.auc.value
        )


def test_controls_without_information_differ_from_levels_with_it(informed: Report) -> None:
    for comparison in informed.comparisons:
        real, control = comparison.auc
        assert comparison.pairs + comparison.unmatched == informed.primary.n
        assert real.value - control.value == pytest.approx(comparison.auc_difference.value)
        assert comparison.auc_difference.low > 0
        assert comparison.break_difference.low < 0 < comparison.break_difference.high


def test_censored_and_unmeasured_episodes_are_left_out(tmp_path: Path) -> None:
    one = session(0)
    one.episodes["outcome"][:3, 2] = CENSORED
    one.episodes["score"][3] = np.nan
    one.episodes["actionable"][4] = False
    report = run(tmp_path, [one])
    assert (report.episodes, report.usable) == (30, 25)
    assert report.primary.n == 25
    assert sum(sum(counts.values()) for counts in report.outcome_mix.values()) == 25


def test_sessions_without_stored_events_are_said_to_have_no_controls(tmp_path: Path) -> None:
    one = session(0, feed=None)
    report = run(tmp_path, [one._replace(random=one.random[:0], placebo=one.placebo[:0])])
    assert any("no controls" in warning for warning in report.warnings)
    assert [comparison.pairs for comparison in report.comparisons] == [0, 0]
    assert not any("nobody cares" in table.title for table in tables(report))


def test_no_session_at_all_is_still_a_report(tmp_path: Path) -> None:
    report = run(tmp_path, [])
    assert report.verdict.startswith("This report claims nothing")
    assert json.dumps(plain(report))


def test_the_report_is_the_same_every_time(tmp_path: Path) -> None:
    sessions = [session(n, count=10) for n in range(4)]
    one, again = (plain(run(tmp_path / name, sessions)) for name in ("one", "again"))
    assert json.dumps(one) == json.dumps(again)


def test_json_holds_numbers_or_null_and_never_nan(informed: Report) -> None:
    text = json.dumps(plain(informed), allow_nan=False)
    found = json.loads(text)
    assert found["verdict"] == informed.verdict
    assert found["predictions"][2]["predictors"][0]["auc"] == {"value": 0.5, "low": None, "high": None}
    assert len(found["reliability"][SCORE]["predicted"]) == len(informed.reliability[SCORE].predicted)


def test_the_number_of_intervals_is_counted_and_put_into_words(informed: Report) -> None:
    found = plain(informed)

    def count(value: Any) -> int:
        if isinstance(value, dict):
            own = isinstance(value.get("low"), float) and "value" in value
            return own + sum(count(item) for item in value.values())
        return sum(count(item) for item in value) if isinstance(value, list) else 0

    assert f"holds {count(found)} intervals" in multiplicity(informed)


def test_every_table_has_a_cell_for_every_heading(informed: Report) -> None:
    for table in tables(informed):
        assert all(len(row) == len(table.headings) for row in table.rows), table.title
        assert "nan" not in " ".join(cell for row in table.rows for cell in row)
