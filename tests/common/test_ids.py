"""Identifiers."""

from __future__ import annotations

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from controlplane.common.ids import new_slug, uuid7, uuid7_milliseconds


@given(st.integers(0, 2**48 - 1))
def test_a_uuid7_carries_its_milliseconds(now_ms):
    made = uuid7(now_ms=now_ms)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert uuid7_milliseconds(made) == now_ms


@given(st.integers(0, 2**48 - 2))
def test_a_later_uuid7_sorts_after(now_ms):
    assert uuid7(now_ms=now_ms) < uuid7(now_ms=now_ms + 1)


def test_a_slug_is_a_dns_label_that_nobody_guesses():
    slugs = {new_slug() for _ in range(1000)}
    assert len(slugs) == 1000
    assert all(re.fullmatch(r"d[a-z0-9]{19}", slug) for slug in slugs)
