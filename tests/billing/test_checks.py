"""A setting that names a plan which new workspaces cannot get ends the start, with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from billing.models import Plan
from billing.plan_edits import edit_plan
from controlplane.embedded import initialise

pytestmark = pytest.mark.django_db


def check() -> None:
    """Check as `manage.py check --database default` does."""
    call_command("check", databases=["default"])


def refusal() -> str:
    with pytest.raises(SystemCheckError) as raised:
        check()
    return str(raised.value)


def test_a_plan_that_does_not_exist_is_refused_with_those_that_there_are_and_how_to_have_another(settings: Any) -> None:
    settings.PERSONAL_PLAN = "gold"

    told = refusal()

    assert "(billing.E001) PERSONAL_PLAN is 'gold', but there is no plan of that code." in told
    assert "Set PERSONAL_PLAN to one of basic-monthly, basic-yearly, custom, free, internal, legacy-free," in told
    assert "or to none." in told
    assert "make it with `manage.py plans set CODE … --create --reason …`" in told
    assert "`manage.py plans` lists all." in told
    assert "ORGANIZATION_PLAN" not in told


def test_a_plan_for_persons_is_refused_for_organizations_and_not_proposed(settings: Any) -> None:
    settings.PERSONAL_PLAN = settings.ORGANIZATION_PLAN = "free"

    told = refusal()

    assert "(billing.E002) ORGANIZATION_PLAN is 'free', but the plan of that code is not for organizations." in told
    assert "one of basic-monthly, basic-yearly, custom, internal, pro-monthly" in told
    assert "PERSONAL_PLAN" not in told


def test_a_plan_for_organizations_is_refused_for_persons(settings: Any) -> None:
    settings.PERSONAL_PLAN = "custom"
    edit_plan(code="custom", reason="test", personal=False)

    assert "PERSONAL_PLAN is 'custom', but the plan of that code is not for people." in refusal()


@pytest.mark.parametrize(("personal", "organization"), [("free", ""), ("", ""), ("internal", "internal"), ("starter-monthly", "custom")])
def test_plans_that_fit_and_none_are_taken(settings: Any, personal: str, organization: str) -> None:
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = personal, organization

    check()


def test_a_plan_that_an_operator_made_is_taken(settings: Any) -> None:
    settings.PERSONAL_PLAN = "press"
    assert "'press'" in refusal()

    call_command("plans", "set", "press", "name=Press", "--create", "--reason", "for journalists")

    check()


def test_a_plan_that_migrate_will_bring_is_taken(settings: Any) -> None:
    settings.PERSONAL_PLAN = "custom"
    Plan.objects.filter(code="custom").delete()

    check()


def test_an_empty_database_is_migrated_first(settings: Any) -> None:
    settings.PERSONAL_PLAN = "gold"
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_plan RENAME TO plans_of_another_time")

    check()


def test_commands_that_check_no_database_ask_none(settings: Any, django_assert_num_queries: Any) -> None:
    settings.PERSONAL_PLAN = "gold"

    with django_assert_num_queries(0):
        assert run_checks() == []


def test_a_start_is_refused_before_any_process_runs(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.PERSONAL_PLAN = "gold"

    with pytest.raises(SystemExit) as ended:
        initialise.main()

    assert "PERSONAL_PLAN is 'gold', but there is no plan of that code." in str(ended.value.code)
    assert "prepare took" not in capsys.readouterr().out
