"""Fixtures that every room's tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from _pytest.nodeid import NodeId
from django.contrib.auth.hashers import Argon2PasswordHasher
from rest_framework.test import APIClient

from controlplane.accounts.models import User
from tests.factories import make_token, make_user
from tests.flush import quick_flush
from tests.stack import stack

__all__ = ["quick_flush", "stack"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that schemathesis makes of the API description ids of their own: they come with one for all, which xdist takes for one test."""
    for item in items:
        if not item.nodeid.endswith(item.name):
            item._id = NodeId.parse(f"{item.nodeid.rpartition('::')[0]}::{item.name}")


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Argon2 at its least cost: tests make thousands of people. The whole service, which has processes of its own, hashes as it should."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"time_cost": 1, "memory_cost": 8, "parallelism": 1}.items():
            patch.setattr(Argon2PasswordHasher, name, value)
        yield


@pytest.fixture
def user(db: None) -> User:
    """A user with a personal namespace."""
    return make_user()


@pytest.fixture
def stranger(db: None) -> User:
    """Another user, who has nothing to do with the first."""
    return make_user()


@pytest.fixture
def api() -> Callable[..., APIClient]:
    """Return `api(user)`: a client with a real token of the user; `api()` is nobody."""

    def client(user: User | None = None, **extra: Any) -> APIClient:
        made = APIClient(**extra)
        if user is not None:
            made.credentials(HTTP_AUTHORIZATION=f"Token {make_token(user)}")
        return made

    return client
