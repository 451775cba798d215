"""Mails about credits, caps and payments: each notice to each owner of its workspace, once as a rule, and never lost.

A notice is claimed by booking its next try, mailed, and then marked: who dies in between has somebody mailed a second time, nobody left out.
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Sequence
from datetime import timedelta
from email.errors import MessageError
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models import Q
from django.template.loader import render_to_string

from billing.access import root_of
from billing.models import BilledDeployment, Notice, Wallet
from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.workspaces.models import Membership, Namespace
from controlplane.workspaces.roles import Role

logger = logging.getLogger(__name__)

MAILED_AT_ONCE = 50
# Seconds between the tries of one notice: about three days, then it is given up. The first is longer than one try takes.
PAUSES = (120, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 24 * 3600)
MOST_ATTEMPTS = len(PAUSES) + 1
# What is wrong with one person's address or mail. Every other fault is the server's, and the others wait for it too.
OF_ONE_MAIL = (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, MessageError, ValueError)


def mail_notices() -> int:
    """Mail the notices that are due; returns how many went to everybody they are for. A mail server that fails is asked again later."""
    now = clock.now()
    due = Notice.objects.filter(Q(next_try_at=None) | Q(next_try_at__lte=now), mailed_at=None, attempts__lt=MOST_ATTEMPTS)
    found = list(due.select_related("wallet").order_by("id")[:MAILED_AT_ONCE])
    if not found:
        return 0
    connection, mailed = get_connection(), 0
    try:
        for notice in found:
            if claim(notice):
                connection.open()
                mailed += mail_notice(notice, connection)
    except OSError as error:
        logger.warning("notices wait for the mail server: %s", error)
    finally:
        connection.close()
    return mailed


def claim(notice: Notice) -> bool:
    """Book the next try of a notice before it is made, so that no other worker makes this one."""
    pause = PAUSES[min(notice.attempts, len(PAUSES) - 1)]
    mine = Notice.objects.filter(pk=notice.pk, attempts=notice.attempts, mailed_at=None)
    return bool(mine.update(attempts=notice.attempts + 1, next_try_at=clock.now() + timedelta(seconds=pause)))


def mail_notice(notice: Notice, connection: Any) -> bool:
    """Mail a notice to those who have not got it yet; returns whether everybody has. Raises `OSError` for a fault of the server."""
    people = owners_of(notice.wallet)
    left = [person for person in people if str(person.pk) not in notice.mailed_to]
    for person in left:
        try:
            connection.send_messages([written(notice, person)])
        except OF_ONE_MAIL as error:
            logger.warning("notice %s did not reach user %s: %r", notice.pk, person.pk, error)
            continue
        notice.mailed_to = [*notice.mailed_to, str(person.pk)]
        Notice.objects.filter(pk=notice.pk).update(mailed_to=notice.mailed_to)
    return mark(notice, people)


def mark(notice: Notice, people: Sequence[User]) -> bool:
    """Mark a notice that everybody has, and tell operators of one that is given up."""
    if all(str(person.pk) in notice.mailed_to for person in people):
        now = clock.now()
        Notice.objects.filter(pk=notice.pk).update(mailed_at=now, updated_at=now)
        return True
    if notice.attempts + 1 >= MOST_ATTEMPTS:
        logger.error("notice %s of wallet %s is given up: %s", notice.pk, notice.wallet_id, notice.subject)
    return False


def owners_of(wallet: Wallet) -> list[User]:
    """Return who is told of a wallet: the person, or the owners of the organization, as far as they can sign in and have an address."""
    people = User.objects.filter(is_active=True).exclude(email="").order_by("pk")
    if wallet.is_personal:
        return list(people.filter(pk=wallet.workspace_id))
    owning = Membership.objects.filter(organization=wallet.workspace_id, kind=Membership.Kind.ORGANIZATION, role=Role.OWNER)
    return list(people.filter(pk__in=owning.values("user")))


def written(notice: Notice, person: User) -> EmailMessage:
    """Return the mail of a notice for one person."""
    root: Namespace = root_of(notice.wallet)
    told = {
        "notice": notice,
        "workspace": root.path,
        "deployment": BilledDeployment.objects.filter(pk=notice.deployment_id).first() if notice.deployment_id else None,
        "public_url": settings.PUBLIC_URL,
    }
    subject = " ".join(f"{notice.subject} ({root.path})".split())
    return EmailMessage(subject, render_to_string("billing/notice.txt", told), settings.DEFAULT_FROM_EMAIL, [person.email])
