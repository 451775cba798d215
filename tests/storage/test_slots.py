"""Places for uploads: bursts wait for each other, uploads that stand still hold nobody up for long, no project takes all."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from controlplane.common.errors import Unavailable
from controlplane.common.ids import uuid7
from storage.slots import Slots

OURS, THEIRS = uuid7(), uuid7()


def test_one_project_does_not_take_the_places_of_others():
    slots = Slots("uploads", most=3, share=2, standstill=0.01)
    with ExitStack() as held:
        for project in (OURS, OURS):
            held.enter_context(slots.hold(project))
        with pytest.raises(Unavailable, match="POST /v1/uploads/"), slots.hold(OURS):
            pass
        held.enter_context(slots.hold(THEIRS))
        with pytest.raises(Unavailable), slots.hold(THEIRS):
            pass
    with slots.hold(OURS), slots.hold(THEIRS):
        pass


def test_a_burst_waits_until_places_get_free():
    slots, done = Slots("uploads", most=2, share=2, standstill=5), []

    def upload(number: int) -> None:
        with slots.hold(OURS):
            done.append(number)

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(20)]
    with slots.hold(OURS), slots.hold(OURS):
        for thread in threads:
            thread.start()
        assert done == []
    for thread in threads:
        thread.join(10)
    assert sorted(done) == list(range(20))


def test_a_place_is_free_again_after_a_failure():
    slots = Slots("uploads", most=1, share=1, standstill=0.01)
    for _ in range(3):
        with pytest.raises(KeyError), slots.hold(OURS):
            raise KeyError
