"""What managers and owners read of their workspace's wallet, and what nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from billing.grants import correct_charge, grant_credits, take_back
from billing.models import BilledDeployment, Funding, Grant, GrantSource, LedgerEntry, Subscription, Unit, Wallet
from billing.models.ledger import FOR_EVER
from billing.selectors import other_entries
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.common.ids import uuid7
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace
from tests.billing.spending import CREDIT, INSTANCE, SERVERLESS, make_billed, run_instance, spend, spend_credits
from tests.deployments.conftest import Clock
from tests.factories import make_member, make_organization, make_user

Api = Callable[..., APIClient]
READS = ("", "balance/", "grants/", "charges/", "entries/", "caps/", "export/")


@pytest.fixture
def deployment(wallet: Wallet) -> BilledDeployment:
    return make_billed(wallet, "quay/belts/count")


@pytest.fixture
def read(api: Api, payer: User) -> Callable[..., Any]:
    """Return `read("charges/", month="2026-03")`: what the owner is answered."""
    client, root = api(payer), payer.namespaces.get(parent=None)

    def ask(path: str = "", **query: Any) -> Any:
        answer = client.get(f"/v1/namespaces/{root.pk}/billing/{path}", query)
        assert answer.status_code == 200, answer.content
        return answer.json()

    return ask


def test_a_new_workspace_has_the_credits_of_its_plan(wallet: Wallet, payer: User, read: Any) -> None:
    assert read() == {
        "workspace": str(payer.pk),
        "plan": {
            "code": "free",
            "name": "Free",
            "status": "ACTIVE",
            "next_credits_at": "2026-04-02T09:00:00Z",
            "next_credits": 500 * CREDIT,
            "ends_at": None,
        },
        "unmetered": False,
        "balance": 500 * CREDIT,
        "held": 0,
        "available": 500 * CREDIT,
        "hits": 0,
        "in_credits": {"balance": "500", "held": "0", "available": "500"},
        "funding": {
            "status": "FUNDED",
            "since": "2026-03-02T09:00:00Z",
            "grace_until": None,
            "next": "Everything runs. When the credits run out, serverless endpoints answer 402 at once and instances end 15 minutes later.",
        },
        "burn": {"instances": 0, "micro_credits_an_hour": 0, "credits_an_hour": "0", "lasts_until": None, "available_until": None},
        "payments": {"configured": False, "detail": "This installation takes no payments. Ask its operator for a plan or for credits."},
    }


def test_the_summary_says_how_long_the_credits_last(deployment: BilledDeployment, wallet: Wallet, read: Any) -> None:
    run_instance(deployment)
    wallet.holds.create(resource="one", deployment_id=deployment.pk, amount=15 * 60 * 4770)

    found = read()

    assert (found["held"], found["available"]) == (4_293_000, 495_707_000)
    burn = found["burn"]
    assert (burn["instances"], burn["micro_credits_an_hour"], burn["credits_an_hour"]) == (1, 17_172_000, "17.172")
    lasts, available = (datetime.fromisoformat(burn[name]) for name in ("lasts_until", "available_until"))
    assert lasts - datetime(2026, 3, 2, 9, tzinfo=UTC) == timedelta(microseconds=-(-500 * CREDIT * 10**6 // 4770))
    assert timedelta(seconds=899) < lasts - available < timedelta(seconds=901)


def test_the_summary_of_a_plan_without_limits(api: Api, db: None, moving_clock: Clock) -> None:
    user = make_user()  # the plan of the suite: internal
    run_instance(make_billed(wallet_of(user.namespaces.get(parent=None))))

    found = api(user).get(f"/v1/namespaces/{user.namespaces.get(parent=None).pk}/billing/").json()

    assert (found["plan"]["code"], found["unmetered"], found["plan"]["next_credits_at"]) == ("internal", True, None)
    assert found["burn"]["lasts_until"] is None
    assert found["funding"]["next"] == "What is used is written down; nothing is stopped."


def test_a_workspace_without_a_plan_can_be_read(api: Api, payer: User, settings: Any) -> None:
    settings.ORGANIZATION_PLAN = ""
    organization = make_organization(payer)

    found = api(payer).get(f"/v1/namespaces/{organization.namespaces.get().pk}/billing/").json()

    assert (found["plan"], found["balance"], found["workspace"]) == (None, 0, str(organization.pk))


@pytest.mark.parametrize(
    ("funding", "exhaustion", "says"),
    [
        (Funding.GRACE, "suspend", "At 09:15:00 UTC instances end; their endpoints keep their URLs. Add credits before that."),
        (Funding.GRACE, "delete", "At 09:15:00 UTC instances are deleted with their endpoints. Add credits before that."),
        (Funding.EXHAUSTED, "suspend", "Endpoints answer 402 and no instance runs. Add credits, then resume what you need."),
    ],
)
def test_the_summary_says_what_comes_next(wallet: Wallet, read: Any, settings: Any, funding: str, exhaustion: str, says: str) -> None:
    settings.CREDIT_EXHAUSTION = exhaustion
    Wallet.objects.update(funding=funding, grace_until=datetime(2026, 3, 2, 9, 15, tzinfo=UTC))

    assert read()["funding"]["next"].endswith(says)


def test_a_cancelled_plan_says_when_it_ends(wallet: Wallet, read: Any, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test"
    Subscription.objects.update(status="CANCELLING")

    found = read()

    assert (found["plan"]["next_credits_at"], found["plan"]["ends_at"]) == (None, "2026-04-02T09:00:00Z")
    assert found["payments"]["configured"] is True


def test_the_balance_at_any_moment(deployment: BilledDeployment, moving_clock: Clock, read: Any) -> None:
    spend_credits(deployment, 100)
    moving_clock.advance(3600)
    spend_credits(deployment, 50)

    def at(moment: str) -> tuple[int, bool]:
        found = read("balance/", at=moment)
        return found["balance"] // CREDIT, found["future"]

    assert at("2026-03-02T08:59:59Z") == (0, False)
    assert at("2026-03-02T09:30:00Z") == (400, False)
    assert at("2026-03-02T11:30:00+01:00") == (350, True)
    assert at("2026-04-02T08:59:59Z") == (350, True)
    assert at("2026-04-02T09:00:00Z") == (0, True)
    assert read("balance/")["credits"] == "350"


def test_a_moment_may_come_with_a_plus_sign_that_became_a_space(read: Any) -> None:
    assert read("balance/", at="2026-03-02T11:30:00 01:00")["at"] == "2026-03-02T10:30:00Z"


@pytest.mark.parametrize("moment", ["yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\x00"])
def test_a_moment_that_is_none_is_refused(api: Api, payer: User, moment: str) -> None:
    answer = api(payer).get(f"/v1/namespaces/{payer.namespaces.get(parent=None).pk}/billing/balance/", {"at": moment})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["at"])


def test_days_may_be_asked_for_until_the_last_one_that_there_is(deployment: BilledDeployment, read: Any) -> None:
    spend_credits(deployment, 120)

    assert [line["micro_credits"] for line in read("charges/", by="day", until="9999-12-31T23:59:59Z")["results"]] == [120 * CREDIT]


def test_grants_tell_what_is_left_and_until_when(wallet: Wallet, deployment: BilledDeployment, read: Any, moving_clock: Clock) -> None:
    spend_credits(deployment, 120)
    late = moving_clock.now + timedelta(days=3)
    grant_credits(wallet_id=wallet.pk, amount=7, key="late", source=GrantSource.OPERATOR, starts_at=late, reason="Thanks for waiting.")
    grant_credits(wallet_id=wallet.pk, amount=2000, key="hits", source=GrantSource.OPERATOR, unit=Unit.HIT)

    hits, later, plan = read("grants/")["results"]

    assert (plan["amount"], plan["spent"], plan["left"], plan["valid"]) == (500 * CREDIT, 120 * CREDIT, 380 * CREDIT, True)
    assert plan["in_credits"] == {"amount": "500", "spent": "120", "left": "380"}
    assert (plan["starts_at"], plan["expires_at"]) == ("2026-03-02T09:00:00Z", "2026-04-02T09:00:00Z")
    assert (plan["source"], plan["plan"], plan["reason"]) == ("PLAN", "free", "Free, period of 2026-03-02")
    assert (later["valid"], later["expires_at"], later["reason"]) == (False, None, "Thanks for waiting.")
    assert (hits["unit"], hits["left"], hits["in_credits"]) == ("hits", 2000, None)
    assert [one["id"] for one in read("grants/", valid="true")["results"]] == [hits["id"], plan["id"]]
    assert [one["id"] for one in read("grants/", valid="false")["results"]] == [later["id"]]


def test_a_line_says_all_that_a_bill_has_to(deployment: BilledDeployment, wallet: Wallet, read: Any) -> None:
    spend(deployment, 60)
    [grant] = Grant.objects.filter(wallet=wallet)

    [line] = read("charges/")["results"]

    assert line == {
        "entry": LedgerEntry.objects.get(kind="CHARGE").pk,
        "deployment": {
            "id": str(deployment.pk),
            "label": "quay/belts/count",
            "offer": "AWS FRANCE CLUSTER XS",
            "project": str(deployment.project_id),
        },
        "price": {"code": "AWS CLUSTER XS", "unit": "s", "micro_credits": 4770},
        "quantity": 60,
        "from": "2026-03-02T09:00:00Z",
        "to": "2026-03-02T09:01:00Z",
        "micro_credits": 286_200,
        "credits": "0.2862",
        "hits": 0,
        "grants": [
            {
                "grant": str(grant.pk),
                "source": "PLAN",
                "plan": "free",
                "expires_at": "2026-04-02T09:00:00Z",
                "micro_credits": 286_200,
                "hits": 0,
            }
        ],
        "written_off": 0,
        "given_back": None,
        "sum": "60 s x 0.00477 = 0.2862 credits",
    }


def test_a_line_names_every_grant_and_what_no_grant_covered(deployment: BilledDeployment, wallet: Wallet, read: Any) -> None:
    grant_credits(wallet_id=wallet.pk, amount=30 * CREDIT, key="more", source=GrantSource.OPERATOR, expires_at=FOR_EVER)
    spend_credits(deployment, 540)

    [line] = read("charges/")["results"]

    assert [(used["source"], used["micro_credits"]) for used in line["grants"]] == [("PLAN", 500 * CREDIT), ("OPERATOR", 30 * CREDIT)]
    assert line["written_off"] == 10 * CREDIT
    assert sum(used["micro_credits"] for used in line["grants"]) + line["written_off"] == line["micro_credits"] == 540 * CREDIT


def test_a_free_run_is_a_line_that_costs_nothing(deployment: BilledDeployment, wallet: Wallet, read: Any) -> None:
    grant_credits(wallet_id=wallet.pk, amount=2000, key="hits", source=GrantSource.OPERATOR, unit=Unit.HIT)
    spend(deployment, 16_000, product=SERVERLESS, unit=Unit.HIT)

    [line] = read("charges/")["results"]

    assert (line["micro_credits"], line["hits"], line["sum"]) == (0, 1, "16,000 ms in free runs")
    assert [(used["hits"], used["micro_credits"]) for used in line["grants"]] == [(1, 0)]


def test_a_corrected_line_says_so(deployment: BilledDeployment, read: Any) -> None:
    spend_credits(deployment, 10)
    charge = LedgerEntry.objects.get(kind="CHARGE")
    correct_charge(entry_id=charge.pk, amount=4 * CREDIT, reason="The machine was broken.")

    [line] = read("charges/")["results"]

    back = LedgerEntry.objects.get(reverses=charge)
    assert line["given_back"] == {"entry": back.pk, "micro_credits": 4 * CREDIT, "reason": "The machine was broken."}


def test_lines_can_be_narrowed(wallet: Wallet, read: Any) -> None:
    project = uuid7()
    first, second, other = (make_billed(wallet, project_id=given) for given in (project, project, uuid7()))
    for deployment, day in ((first, 2), (second, 3), (other, 4), (first, 31)):
        spend(deployment, 60, at=datetime(2026, 3, day, 23, 59, 59, tzinfo=UTC))
    spend(first, 60, at=datetime(2026, 4, 1, tzinfo=UTC))

    def days(**query: Any) -> list[str]:
        return [line["from"][5:10] for line in read("charges/", **query)["results"]]

    assert days() == ["04-01", "03-31", "03-04", "03-03", "03-02"]
    assert days(deployment=first.pk) == ["04-01", "03-31", "03-02"]
    assert days(project=project) == ["04-01", "03-31", "03-03", "03-02"]
    assert days(project=project, deployment=other.pk) == []
    assert days(month="2026-03", deployment=first.pk) == ["03-31", "03-02"]
    assert days(since="2026-03-03T23:59:59Z", until="2026-03-31T23:59:59Z") == ["03-04", "03-03"]
    assert days(page_size=2, page=2) == ["03-04", "03-03"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"month": "2026-13"}, "month"),
        ({"month": "2026-3"}, "month"),
        ({"month": "2026-03", "since": "2026-03-01T00:00:00Z"}, "month"),
        ({"deployment": "mine"}, "deployment"),
        ({"by": "week"}, "by"),
        ({"since": "soon"}, "since"),
    ],
)
def test_a_filter_that_is_none_is_refused(api: Api, payer: User, query: dict[str, str], field: str) -> None:
    answer = api(payer).get(f"/v1/namespaces/{payer.namespaces.get(parent=None).pk}/billing/charges/", query)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


def test_sums_by_day(deployment: BilledDeployment, wallet: Wallet, read: Any) -> None:
    other = make_billed(wallet)
    for hour in (1, 2):
        spend(deployment, 60, at=datetime(2026, 3, 3, hour, tzinfo=UTC))
    spend(deployment, 1000, product=SERVERLESS, at=datetime(2026, 3, 3, 3, tzinfo=UTC))
    spend(other, 60, at=datetime(2026, 3, 4, tzinfo=UTC))

    found = read("charges/", by="day", month="2026-03")

    assert (found["count"], [line["sum"] for line in found["results"]]) == (
        3,
        ["60 s x 0.00477 = 0.2862 credits", "120 s x 0.00477 = 0.5724 credits", "1,000 ms x 0.000829 = 0.829 credits"],
    )
    assert {(line["from"], line["to"], line["entry"]) for line in found["results"][1:]} == {
        ("2026-03-03T00:00:00Z", "2026-03-04T00:00:00Z", None)
    }
    one = read("charges/", by="day", since="2026-03-03T12:00:00Z", until="2026-03-03T13:00:00Z", deployment=deployment.pk)
    assert one["count"] == 2


def test_entries_beside_charges(deployment: BilledDeployment, wallet: Wallet, read: Any) -> None:
    spend_credits(deployment, 10)
    charge = LedgerEntry.objects.get(kind="CHARGE")
    correct_charge(entry_id=charge.pk, amount=CREDIT, reason="Half of it was ours.")
    given = grant_credits(wallet_id=wallet.pk, amount=30 * CREDIT, key="more", source=GrantSource.OPERATOR)
    take_back(grant_id=given.pk, amount=5 * CREDIT, key="oops", reason="By mistake.")

    found = read("entries/")["results"]

    assert [(one["kind"], one["credits"], one["reason"]) for one in found] == [
        ("TAKE_BACK", "-5", "By mistake."),
        ("GRANT", "30", ""),
        ("CORRECTION", "1", "Half of it was ours."),
        ("GRANT", "500", "Free, period of 2026-03-02"),
    ]
    assert (found[2]["corrects"], found[0]["micro_credits"], found[0]["grant"]) == (charge.pk, -5 * CREDIT, str(given.pk))
    assert [read("entries/", kind=kind)["count"] for kind in ("GRANT", "CORRECTION", "TAKE_BACK")] == [2, 1, 1]


@pytest.mark.parametrize("path", READS)
def test_a_stranger_finds_nothing_and_a_member_may_not(api: Api, payer: User, stranger: User, path: str) -> None:
    organization = make_organization(payer)
    root = organization.namespaces.get()
    address = f"/v1/namespaces/{root.pk}/billing/{path}"
    wallets = Wallet.objects.count()

    assert api(stranger).get(address).status_code == 404
    assert api(make_member(organization, Role.MEMBER)).get(address).status_code == 403
    assert Wallet.objects.count() == wallets
    assert api(make_member(organization, Role.MANAGER)).get(address).status_code == 200


def test_a_role_on_a_part_of_the_workspace_shows_no_bill_of_all_of_it(api: Api, payer: User) -> None:
    organization = make_organization(payer)
    inner = create_namespace(actor=payer, parent_id=organization.namespaces.get().pk, name="inner")
    colleague = make_member(organization, Role.MEMBER)
    organization.memberships.create(user=colleague, kind="NAMESPACE", target=inner.pk, role=Role.OWNER)

    assert api(payer).get(f"/v1/namespaces/{inner.pk}/billing/").json()["workspace"] == str(organization.pk)
    assert api(colleague).get(f"/v1/namespaces/{inner.pk}/billing/").status_code == 403


def test_lines_of_one_workspace_are_not_in_another(api: Api, payer: User, deployment: BilledDeployment, read: Any) -> None:
    spend(deployment, 60, product=INSTANCE)
    other = make_user()
    address = f"/v1/namespaces/{other.namespaces.get(parent=None).pk}/billing/charges/"

    for query in ({}, {"deployment": str(deployment.pk)}, {"project": str(deployment.project_id)}, {"by": "day"}):
        assert api(other).get(address, query).json()["count"] == 0
    assert read("charges/")["count"] == 1


def test_entries_beside_charges_are_found_without_looking_at_charges(wallet: Wallet) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = other_entries(wallet.pk).explain()

    assert "entry_beside_charges" in plan


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("charges/", {"by": "week"}, {"by": ['"week" is none of: line, day.']}),
        ("entries/", {"kind": "FOO"}, {"kind": ['"FOO" is none of: GRANT, CORRECTION, TAKE_BACK.']}),
        ("export/", {"format": "xlsx"}, {"format": ['"xlsx" is none of: csv, json.']}),
        ("charges/", {"since": "2027-01-01T00:00Z", "until": "2026-01-01T00:00Z"}, {"until": ["Before `since`: give a later moment."]}),
        ("charges/", {"month": "2026-03", "since": "2026-01-01T00:00Z"}, {"month": ["Give either a month, or since and until."]}),
    ],
)
def test_a_question_that_cannot_be_answered_says_what_can(
    api: Api, payer: User, wallet: Wallet, path: str, query: dict[str, str], said: dict[str, list[str]]
) -> None:
    root = payer.namespaces.get(parent=None)

    answer = api(payer).get(f"/v1/namespaces/{root.pk}/billing/{path}", query)

    assert answer.status_code == 400
    assert answer.json()["fields"] == said
