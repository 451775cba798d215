"""Notices reach each owner once, over a real connection to a mail server that may fail in every way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from billing import notices
from billing.funding import write_notice
from billing.models import Funding, Notice, NoticeKind, Wallet
from billing.notices import MOST_ATTEMPTS, PAUSES, mail_notices, written
from billing.tasks import mail_notices_task
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.workspaces.models import Organization
from controlplane.workspaces.roles import Role
from tests.billing.spending import make_billed, spend_credits
from tests.deployments.conftest import Clock
from tests.factories import make_member, make_organization
from tests.fakes.smtp import FakeSmtp, running_smtp


@pytest.fixture
def server(settings: Any) -> Iterator[FakeSmtp]:
    """A mail server, and the product set to use it."""
    with running_smtp() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", running.port, 5
        yield running


@pytest.fixture
def shared(payer: User) -> Organization:
    """An organization with two owners, a manager and a member."""
    organization = make_organization(payer)
    for role in (Role.OWNER, Role.MANAGER, Role.MEMBER):
        make_member(organization, role)
    return organization


def owners(organization: Organization) -> list[str]:
    rows = organization.memberships.filter(kind="ORGANIZATION", role=Role.OWNER).order_by("user")
    return [row.user.email for row in rows.select_related("user")]


def tell(wallet: Wallet, subject: str = "20 % of your credits are left", **more: Any) -> Notice:
    write_notice(wallet, NoticeKind.LOW, subject, "400 credits are left. Add credits.", key=subject, **more)
    return Notice.objects.get(key=subject)


def tell_organization(organization: Organization, subject: str = "20 % of your credits are left") -> Notice:
    return tell(wallet_of(organization.namespaces.get()), subject)


def test_a_notice_is_mailed_once(wallet: Wallet, payer: User, server: FakeSmtp, moving_clock: Clock) -> None:
    notice = tell(wallet)

    assert (mail_notices(), mail_notices()) == (1, 0)

    [mail] = server.mails
    assert (mail["To"], mail["Subject"]) == (payer.email, f"20 % of your credits are left ({payer.username})")
    notice.refresh_from_db()
    assert (notice.mailed_at, notice.attempts, notice.mailed_to) == (moving_clock.now, 1, [str(payer.pk)])
    moving_clock.advance(7 * 24 * 3600)
    assert (mail_notices(), len(server.mails)) == (0, 1)


def test_the_mail_says_what_when_and_where(wallet: Wallet, payer: User, server: FakeSmtp) -> None:
    tell(wallet, deployment_id=make_billed(wallet, "quay/belts/count").pk)

    mail_notices()

    assert server.mails[0].get_content().replace("\r\n", "\n") == (
        f"400 credits are left. Add credits.\n\nWorkspace: {payer.username}\nDeployment: quay/belts/count, AWS FRANCE CLUSTER XS\n"
        "When: Monday 2 March 2026, 09:00 UTC\n\nYou get this as an owner of the workspace.\n\n-- \nSlipway, http://127.0.0.1:8000\n"
    )


def test_owners_of_an_organization_get_it_and_nobody_else(shared: Organization, server: FakeSmtp) -> None:
    tell_organization(shared)

    mail_notices()

    assert (len(server.mails), server.recipients()) == (2, owners(shared))


def test_who_cannot_sign_in_or_has_no_address_gets_none(shared: Organization, server: FakeSmtp) -> None:
    first, second = owners(shared)
    User.objects.filter(email=first).update(is_active=False)
    notice = tell_organization(shared)

    assert (mail_notices(), server.recipients()) == (1, [second])
    notice.refresh_from_db()
    assert notice.mailed_at is not None


def test_a_workspace_that_is_gone_has_nobody_to_tell(shared: Organization, server: FakeSmtp) -> None:
    notice = tell_organization(shared)
    shared.namespaces.all().delete()
    shared.delete()

    assert mail_notices() == 1

    notice.refresh_from_db()
    assert (notice.mailed_at is not None, server.mails) == (True, [])


def test_a_bad_address_does_not_keep_the_others_from_theirs(
    shared: Organization, wallet: Wallet, payer: User, server: FakeSmtp, moving_clock: Clock
) -> None:
    server.refused = {payer.email}
    [good] = [address for address in owners(shared) if address != payer.email]
    notice = tell_organization(shared)
    tell(wallet, "5 % of your credits are left")

    assert mail_notices() == 0

    assert server.recipients() == [good]
    server.refused = set()
    moving_clock.advance(PAUSES[0])
    assert mail_notices() == 2
    assert server.recipients() == [good, payer.email, payer.email]
    notice.refresh_from_db()
    assert notice.mailed_at == moving_clock.now


def test_a_server_that_is_down_is_asked_again_later_and_less_often(wallet: Wallet, settings: Any, moving_clock: Clock) -> None:
    with running_smtp() as closed:
        settings.EMAIL_PORT = closed.port
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1"
    notice, tries = tell(wallet), []
    for _ in range(4 * 24 * 60):
        before = Notice.objects.values_list("attempts", flat=True).get()
        if before < MOST_ATTEMPTS and (notice.next_try_at is None or notice.next_try_at <= moving_clock.now):
            assert mail_notices() == 0
            notice.refresh_from_db()
            tries.append(moving_clock.now)
        moving_clock.advance(60)

    assert [later - earlier for earlier, later in pairwise(tries)] == [timedelta(seconds=pause) for pause in PAUSES]
    assert (notice.mailed_at, notice.attempts, mail_notices()) == (None, MOST_ATTEMPTS, 0)


def test_one_that_waits_does_not_hold_up_the_next(wallet: Wallet, server: FakeSmtp, moving_clock: Clock) -> None:
    server.fails_after = 0
    first = tell(wallet)
    assert mail_notices() == 0
    server.fails_after = None

    tell(wallet, "5 % of your credits are left")

    assert mail_notices() == 1
    first.refresh_from_db()
    assert (first.mailed_at, first.attempts) == (None, 1)
    moving_clock.advance(PAUSES[0])
    assert mail_notices() == 1
    assert len(server.mails) == 2


def test_who_has_it_is_not_mailed_again_when_the_server_hangs_up_on_the_next(
    shared: Organization, server: FakeSmtp, moving_clock: Clock
) -> None:
    tell_organization(shared)
    server.fails_after = 1

    assert (mail_notices(), server.recipients()) == (0, owners(shared)[:1])
    server.fails_after = None
    moving_clock.advance(PAUSES[0])

    assert (mail_notices(), server.recipients()) == (1, owners(shared))


def test_a_worker_that_dies_before_the_mail_leaves_it_to_another(
    wallet: Wallet, server: FakeSmtp, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise SystemExit

    tell(wallet)
    with monkeypatch.context() as patch:
        patch.setattr(notices, "written", die)
        with pytest.raises(SystemExit):
            mail_notices()

    assert (mail_notices(), server.mails) == (0, [])
    moving_clock.advance(PAUSES[0])
    assert (mail_notices(), len(server.mails)) == (1, 1)


def test_a_notice_that_another_worker_took_is_left_to_it(wallet: Wallet, server: FakeSmtp, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(wallet)
    taken = notices.claim

    def late(notice: Notice) -> bool:
        assert taken(notice)  # by the other one
        return taken(notice)

    monkeypatch.setattr(notices, "claim", late)

    assert (mail_notices(), server.mails) == (0, [])


def test_many_notices_go_over_one_connection(wallet: Wallet, server: FakeSmtp) -> None:
    for percent in (50, 20, 5):
        tell(wallet, f"{percent} % of your credits are left")

    assert (mail_notices(), server.connections) == (3, 1)


def test_a_line_break_cannot_add_a_header(wallet: Wallet, payer: User) -> None:
    mail = written(tell(wallet, "Left\r\nBcc: everybody@example.com"), payer)

    assert mail.subject == f"Left Bcc: everybody@example.com ({payer.username})"
    assert "\n\nBcc" not in mail.message().as_string()


def test_the_way_to_the_end_is_told_at_20_at_5_and_at_0(wallet: Wallet, server: FakeSmtp, moving_clock: Clock) -> None:
    deployment = make_billed(wallet)
    for spent in (399, 1, 74, 1, 24, 1):
        moving_clock.advance(60)
        spend_credits(deployment, spent)
        mail_notices_task()

    assert [mail["Subject"].rpartition(" (")[0] for mail in server.mails] == [
        "20 % of your credits are left",
        "5 % of your credits are left",
        "Your credits have run out",
    ]
    wallet.refresh_from_db()
    assert wallet.funding == Funding.GRACE
    assert "Instances go on for 15 minutes" in server.mails[-1].get_content()
