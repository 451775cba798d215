"""Lines of the audit log about accounts, all in the person's own chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.core.cache import cache
from django.db import transaction

from controlplane.accounts.models import User
from controlplane.audit.services import record

REFUSALS_APART_SECONDS = 60


def note(user: User, action: str, *, actor: User | None, details: Mapping[str, Any] | None = None) -> None:
    """Write an act on an account."""
    record(actor=actor, action=action, kind="account", target=user.pk, name=user.username, chain=user.pk, details=details)


def note_refusal(user: User | None, wrong: str) -> None:
    """Write that a sign-in was refused for a wrong password or code; one line a minute for each person, so that nobody fills the log."""
    if user is not None and cache.add(f"refused:{user.pk}", 1, timeout=REFUSALS_APART_SECONDS):
        note(user, "account.sign_in_refused", actor=None, details={"wrong": wrong})


class SessionsAdapter(DefaultUserSessionsAdapter):
    """Writes down that somebody has ended their other sessions."""

    def end_sessions(self, sessions: Iterable[UserSession]) -> None:
        """End sessions, which are all of one person."""
        ending = list(sessions)
        if ending:
            with transaction.atomic():
                super().end_sessions(ending)
                note(ending[0].user, "account.sessions_end", actor=ending[0].user, details={"sessions": len(ending)})
