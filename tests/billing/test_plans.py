"""Plans as data: what an installation begins with, and what operators change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction

from billing import subscriptions
from billing.allowances import Quota, allowance_of
from billing.amounts import micro_credits_of
from billing.balances import balance_at, standing_of
from billing.errors import UnknownPlan
from billing.models import Funding, FundingChange, Grant, Plan, Wallet
from billing.plan_edits import edit_plan
from billing.plans import create_missing_plans, plan_by_code, plan_rows
from billing.pricing import credits_text
from billing.subscriptions import begin_subscription, grant_plan, renew_due
from billing.wallets import open_wallet, wallet_of
from controlplane.accounts.models import User
from controlplane.audit.models import INSTALLATION, AuditEntry
from controlplane.common.errors import InvalidInput
from controlplane.common.ids import uuid7
from tests.deployments.conftest import Clock
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db
CREDIT = 1_000_000


def plans_command(*words: str) -> None:
    call_command("plans", *words)


def lines_of(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action).order_by("sequence"))


# What an installation begins with


def test_every_plan_of_the_file_is_there_after_migrate() -> None:
    assert set(Plan.objects.values_list("code", flat=True)) == {row["code"] for row in plan_rows()}


def test_a_plan_that_is_missing_is_made_again_and_an_edited_one_stays() -> None:
    Plan.objects.filter(code="custom").delete()
    Plan.objects.filter(code="starter-monthly").update(price_cents=1234, max_projects=None)

    assert create_missing_plans() == 1
    assert create_missing_plans() == 0

    assert plan_by_code("custom").infrastructures == ["*"]
    starter = plan_by_code("starter-monthly")
    assert (starter.price_cents, starter.max_projects) == (1234, None)


def test_migrate_makes_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    Plan.objects.filter(code="custom").delete()

    call_command("migrate", "--skip-checks", verbosity=0)

    assert Plan.objects.filter(code="custom").exists()


def test_an_unknown_plan_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownPlan, match="Choose one of basic-monthly, basic-yearly, custom"):
        plan_by_code("gold")


def test_people_get_the_free_plan_and_organizations_none(settings: Any) -> None:
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = "free", ""
    person, organization = open_wallet(uuid7(), is_personal=True), open_wallet(uuid7(), is_personal=False)

    assert standing_of(person.pk).balance == 500 * CREDIT
    assert standing_of(organization.pk).balance == 0
    assert (allowance_of(person).limit(Quota.DEPLOYMENTS), allowance_of(organization).limit(Quota.DEPLOYMENTS)) == (1, 0)
    assert allowance_of(organization).calls_a_minute == 60


def test_the_legacy_free_plan_gives_its_hits_once(moving_clock: Clock, settings: Any) -> None:
    settings.PERSONAL_PLAN = ""
    wallet = open_wallet(uuid7(), is_personal=True)
    begin_subscription(wallet=wallet, plan=plan_by_code("legacy-free"))

    moving_clock.advance(400 * 24 * 3600)
    renew_due()

    standing = standing_of(wallet.pk)
    assert (standing.hits, standing.balance) == (2000, 0)
    assert wallet.grants.count() == 1


def test_where_there_is_no_base_plan_either_nothing_limits_but_deployments_need_a_plan(settings: Any) -> None:
    settings.PERSONAL_PLAN = settings.ORGANIZATION_PLAN = ""
    Plan.objects.filter(code="free").delete()

    allowance = allowance_of(open_wallet(uuid7(), is_personal=False))

    assert [allowance.limit(quota) for quota in (Quota.PROJECTS, Quota.WORKFLOWS, Quota.ALGORITHMS)] == [None] * 3
    assert allowance.limit(Quota.DEPLOYMENTS) == 0
    assert not allowance.has("AWS SERVERLESS")


# Changes by operators


def test_plans_are_listed_by_rank(capsys: pytest.CaptureFixture[str]) -> None:
    plans_command()

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines][:3] == ["legacy-free", "free", "starter-monthly"]
    assert lines[2] == (
        "starter-monthly (Starter, rank 20): 19.90 EUR every month, 2,000 credits, valid 6 months; projects 10, algorithms 20, workflows 50, "
        "deployments 3, storage 10,000,000,000 bytes a project, 600 runs a minute; on *; for persons and organizations; offered"
    )


def test_a_plan_is_changed_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["max_projects=20", "calls_a_minute=none", "credits=2,500.5", "storage_bytes=20GB", "infrastructures=AWS SERVERLESS,GCP GPU"]

    plans_command("set", "starter-monthly", *words, "--reason", "spring offer")

    plan = plan_by_code("starter-monthly")
    assert (plan.max_projects, plan.calls_a_minute, plan.credits, plan.storage_bytes) == (20, None, 2_500_500_000, 20 * 10**9)
    assert plan.infrastructures == ["AWS SERVERLESS", "GCP GPU"]
    told = capsys.readouterr().out.splitlines()
    assert "starter-monthly: credits is 2,500.5 credits, it was 2,000 credits." in told
    assert "starter-monthly: calls_a_minute is without limit, it was 600." in told
    [line] = lines_of("plan.edit")
    assert (line.chain, line.name, line.details["reason"]) == (INSTALLATION, "starter-monthly", "spring offer")
    assert line.details["changed"]["max_projects"] == [10, 20]


def test_the_same_change_again_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        plans_command("set", "starter-monthly", "max_projects=20", "--reason", "spring offer")

    assert capsys.readouterr().out.splitlines()[-1].startswith("Nothing changed: starter-monthly")
    assert len(lines_of("plan.edit")) == 1


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("projects=20", "A plan has no projects"),
        ("code=other", "A plan has no code"),
        ("max_projects=-1", "no whole number"),
        ("max_projects=many", "no whole number"),
        ("max_projects=99999999999", "max_projects"),
        ("max_projects", "not of the form"),
        ("credits=1.0000001", "at most 6 decimals"),
        ("credits=-5", "no amount of credits"),
        ("interval=WEEK", "interval"),
        ("offered=maybe", "neither yes nor no"),
        ("storage_bytes=10XB", "no size"),
        ("infrastructures=aws", "Nothing is offered on 'aws'. There are: AWS CLUSTER,"),
        ("infrastructures=AWS FOO", "Nothing is offered on 'AWS FOO'"),
        ("price_cents=0", "Only a plan with a price can be offered"),
        ("name=", "name"),
    ],
)
def test_what_a_plan_cannot_be_is_refused_and_changes_nothing(word: str, sentence: str) -> None:
    before = Plan.objects.filter(code="starter-monthly").values().get()

    with pytest.raises(CommandError, match=sentence):
        plans_command("set", "starter-monthly", "max_workflows=7", word, "--reason", "slip")

    assert Plan.objects.filter(code="starter-monthly").values().get() == before
    assert not lines_of("plan.edit")


def test_a_plan_is_made_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="There is no plan 'harbour-deal'"):
        plans_command("set", "harbour-deal", "credits=9000", "--reason", "agreement 12")

    plans_command("set", "harbour-deal", "name=Harbour", "credits=9000", "infrastructures=*", "--create", "--reason", "agreement 12")

    plan = plan_by_code("harbour-deal")
    assert (plan.name, plan.credits, plan.interval, plan.offered, plan.max_projects) == ("Harbour", 9000 * CREDIT, "ONCE", False, None)
    assert len(lines_of("plan.create")) == 1
    with pytest.raises(CommandError, match="small letters"):
        plans_command("set", "Harbour Deal", "credits=1", "--create", "--reason", "slip")


def test_a_changed_plan_counts_at_once_and_its_workspaces_are_told(settings: Any) -> None:
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = "free", "internal"
    wallets = [open_wallet(uuid7(), is_personal=True) for _ in range(3)]
    open_wallet(uuid7(), is_personal=False)

    edit_plan(code="free", reason="test", calls_a_minute=7, max_projects=1)

    assert {allowance_of(wallet).calls_a_minute for wallet in wallets} == {7}
    assert set(FundingChange.objects.values_list("wallet_id", flat=True)) == {wallet.pk for wallet in wallets}


def test_more_credits_come_with_the_next_period(moving_clock: Clock, settings: Any) -> None:
    settings.PERSONAL_PLAN = "free"
    wallet = open_wallet(uuid7(), is_personal=True)

    edit_plan(code="free", reason="test", credits=700 * CREDIT)
    assert standing_of(wallet.pk).balance == 500 * CREDIT

    moving_clock.advance(31 * 24 * 3600)
    renew_due()
    assert standing_of(wallet.pk).balance == 700 * CREDIT


def test_a_plan_that_stops_being_unmetered_leaves_who_has_no_credits_in_grace(settings: Any) -> None:
    settings.ORGANIZATION_PLAN = "internal"
    wallet = open_wallet(uuid7(), is_personal=False)
    assert wallet.funding == Funding.FUNDED

    edit_plan(code="internal", reason="test", unmetered=False)

    assert Wallet.objects.get(pk=wallet.pk).funding == Funding.GRACE
    edit_plan(code="internal", reason="test", unmetered=True)
    assert Wallet.objects.get(pk=wallet.pk).funding == Funding.FUNDED


def test_an_edit_that_is_undone_leaves_no_word() -> None:
    with transaction.atomic():
        edit_plan(code="free", reason="test", max_projects=1)
        transaction.set_rollback(True)

    assert not FundingChange.objects.exists()
    assert not lines_of("plan.edit")
    assert plan_by_code("free").max_projects == 3


def test_only_fields_of_a_plan_can_be_changed() -> None:
    with pytest.raises(InvalidInput, match="A plan has no colour"):
        edit_plan(code="free", reason="test", colour="red")
    with pytest.raises(InvalidInput, match="cannot be so"):
        edit_plan(code="free", reason="test", max_projects=-3)


# Credits as people write them


@pytest.mark.parametrize(
    ("text", "micro"),
    [("500", 500 * CREDIT), ("1,234.5", 1_234_500_000), ("0.000001", 1), ("0", 0), ("12.340000", 12_340_000), (" 7 ", 7 * CREDIT)],
)
def test_credits_are_read_exactly(text: str, micro: int) -> None:
    assert micro_credits_of(text) == micro
    assert micro_credits_of(credits_text(micro)) == micro


@pytest.mark.parametrize("text", ["", "1.0000001", "1e3", "-1", "1,23", "1.", ".5", "NaN", "\u0661", "1 000", "1,000,00"])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no amount of credits"):
        micro_credits_of(text)


# Assigning


def test_a_workspace_is_put_on_a_plan(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    organization = make_organization(user, "harbour")

    call_command("set_plan", "Harbour", "custom", "--reason", "agreement 12")
    call_command("set_plan", "harbour", "custom", "--reason", "agreement 12")

    assert capsys.readouterr().out.splitlines() == [
        "harbour is on the plan Custom (custom) now. It has 0 credits.",
        "Nothing changed: it was on custom before. It has 0 credits.",
    ]
    [line] = lines_of("plan.assign")
    assert (line.chain, line.name) == (organization.pk, "harbour")
    assert line.details == {"plan": "custom", "before": "internal", "reason": "agreement 12"}


def test_a_plan_that_was_left_and_is_assigned_again_gives_no_second_credits_for_a_month(
    user: User, moving_clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for plan in ("free", "custom", "free"):
        call_command("set_plan", user.username, plan, "--reason", "a test of Custom")

    wallet = wallet_of(user.namespaces.get(parent=None))
    assert [row.amount for row in Grant.objects.filter(wallet=wallet)] == [500 * CREDIT]
    assert capsys.readouterr().out.splitlines()[-1].endswith("is on the plan Free (free) now. It has 500 credits.")

    moving_clock.advance(32 * 24 * 3600)
    assert renew_due() == 1
    assert renew_due() == 0
    assert Grant.objects.filter(wallet=wallet).count() == 2


def test_who_comes_back_to_a_plan_whose_credits_were_changed_has_them_from_the_next_period_on(user: User, moving_clock: Clock) -> None:
    call_command("set_plan", user.username, "free", "--reason", "test")
    call_command("set_plan", user.username, "custom", "--reason", "test")
    edit_plan(code="free", reason="test", credits=600 * CREDIT)
    call_command("set_plan", user.username, "free", "--reason", "test")
    wallet = wallet_of(user.namespaces.get(parent=None))
    assert standing_of(wallet.pk).balance == 500 * CREDIT

    moving_clock.advance(31 * 24 * 3600)
    renew_due()
    assert standing_of(wallet.pk).balance == 600 * CREDIT


@pytest.mark.parametrize(("interval", "validity"), [("YEAR", 1), ("YEAR", 12), ("MONTH", 1), ("ONCE", 3)])
def test_credits_of_a_period_that_began_while_one_was_away_are_valid_from_the_return_on(
    user: User, moving_clock: Clock, interval: str, validity: int
) -> None:
    edit_plan(code="deal", reason="test", create=True, interval=interval, validity_months=validity, personal=True)
    call_command("set_plan", user.username, "deal", "--reason", "test")
    call_command("set_plan", user.username, "custom", "--reason", "test")
    edit_plan(code="deal", reason="test", credits=9 * CREDIT)
    moving_clock.now = datetime(2027, 9, 20, 10, 0, 30, tzinfo=UTC)
    call_command("set_plan", user.username, "deal", "--reason", "test")

    wallet = wallet_of(user.namespaces.get(parent=None))
    grant = Grant.objects.get(wallet=wallet, plan_code="deal")
    assert grant.starts_at == datetime(2027, 9, 20, 10, 0, tzinfo=UTC)
    ends = {"YEAR1": (2027, 10, 20, 10), "YEAR12": (2028, 3, 2, 9), "MONTH1": (2027, 10, 2, 9), "ONCE3": (2027, 12, 20, 10)}
    assert grant.expires_at == datetime(*ends[f"{interval}{validity}"], tzinfo=UTC)
    assert balance_at(wallet.pk, grant.starts_at - timedelta(minutes=1)) == 0


def test_the_interval_of_a_plan_that_somebody_has_stays(user: User) -> None:
    call_command("set_plan", user.username, "free", "--reason", "test")

    with pytest.raises(InvalidInput, match="make another plan for another interval"):
        edit_plan(code="free", reason="test", interval="YEAR")

    assert plan_by_code("free").interval == "MONTH"


def test_a_period_that_cannot_begin_stops_no_other(user: User, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [wallet_of(one.namespaces.get(parent=None)) for one in (user, make_user(), make_user())]
    for wallet in others:
        begin_subscription(wallet=wallet, plan=plan_by_code("free"))
    moving_clock.advance(31 * 24 * 3600)

    def refuse(**told: Any) -> None:
        if told["wallet_id"] == others[1].pk:
            raise InvalidInput("odd", "It cannot be.")
        grant_plan(**told)

    monkeypatch.setattr(subscriptions, "grant_plan", refuse)
    renew_due()

    assert [Grant.objects.filter(wallet=wallet).count() for wallet in others] == [2, 1, 2]


def test_a_plan_that_is_paid_at_stripe_is_not_replaced(user: User) -> None:
    organization = make_organization(user, "harbour")
    wallet = open_wallet(organization.pk, is_personal=False)
    begin_subscription(wallet=wallet, plan=plan_by_code("basic-monthly"), stripe_id="sub_1")

    with pytest.raises(CommandError, match="pays for the plan Basic"):
        call_command("set_plan", "harbour", "custom", "--reason", "slip")

    assert allowance_of(wallet).plan == plan_by_code("basic-monthly")
    assert not lines_of("plan.assign")


def test_a_plan_for_persons_is_not_given_to_an_organization(user: User) -> None:
    make_organization(user, "harbour")

    with pytest.raises(CommandError, match="The plan Free is not for organizations"):
        call_command("set_plan", "harbour", "free", "--reason", "slip")
    with pytest.raises(CommandError, match="There is no workspace 'quay'"):
        call_command("set_plan", "quay", "custom", "--reason", "slip")
    with pytest.raises(CommandError, match="There is no plan 'gold'"):
        call_command("set_plan", make_user().username, "gold", "--reason", "slip")
    assert not lines_of("plan.assign")
