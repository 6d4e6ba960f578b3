"""What a connection is subscribed to."""

from __future__ import annotations

from producers.massive.subscriptions import ACK_TIMEOUT_NS, Subscriptions


def active(*params: str) -> Subscriptions:
    subscriptions = Subscriptions()
    subscriptions.want(params, 0)
    subscriptions.opened(0)
    for param in params:
        subscriptions.acknowledged(param)
    return subscriptions


def test_it_is_complete_when_all_that_is_wanted_is_acknowledged() -> None:
    subscriptions = Subscriptions()
    assert not subscriptions.complete
    subscriptions.want(("a", "b"), 0)
    subscriptions.acknowledged("a")
    assert not subscriptions.complete
    subscriptions.acknowledged("b")
    assert subscriptions.complete


def test_old_ones_stay_until_every_new_one_is_in_force() -> None:
    subscriptions = active("a", "b")
    subscriptions.want(("b", "c", "d"), 1)
    assert subscriptions.desired == {"a", "b", "c", "d"}
    subscriptions.acknowledged("c")
    assert "a" in subscriptions.desired
    subscriptions.acknowledged("d")
    assert subscriptions.desired == {"b", "c", "d"}


def test_a_new_connection_has_nothing_in_force() -> None:
    subscriptions = active("a")
    subscriptions.opened(5)
    assert not subscriptions.complete
    assert subscriptions.desired == {"a"}


def test_what_is_not_acknowledged_in_time_is_named() -> None:
    subscriptions = active("a")
    subscriptions.want(("a", "b"), 100)
    assert subscriptions.overdue(100 + ACK_TIMEOUT_NS) is None
    assert subscriptions.overdue(101 + ACK_TIMEOUT_NS) == "b"
    subscriptions.acknowledged("b")
    assert subscriptions.overdue(10 * ACK_TIMEOUT_NS) is None


def test_wanting_the_same_again_does_not_put_off_the_deadline() -> None:
    subscriptions = Subscriptions()
    subscriptions.opened(0)
    for now_ns in range(0, 2 * ACK_TIMEOUT_NS, ACK_TIMEOUT_NS // 4):
        subscriptions.want(("a",), now_ns)
    assert subscriptions.overdue(2 * ACK_TIMEOUT_NS) == "a"


def test_one_that_ended_and_is_wanted_again_is_awaited() -> None:
    subscriptions = active("a")
    subscriptions.ended("a", 7)
    assert not subscriptions.complete
    assert subscriptions.overdue(8 + ACK_TIMEOUT_NS) == "a"
