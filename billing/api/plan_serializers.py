"""Plans and quotas as clients see them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.allowances import Quota, limit_of
from billing.models import Plan, PlanInterval
from billing.pricing import credits_text

UNLIMITED = "null: no limit."


class QuotaOutput(serializers.Serializer[Any]):
    """One quota with its use."""

    name = serializers.ChoiceField(source="quota", choices=[quota.value for quota in Quota])
    limit = serializers.IntegerField(allow_null=True, help_text=UNLIMITED)
    used = serializers.IntegerField(
        help_text="Of the whole workspace; of storage_bytes that of its fullest project, since the limit is each project's."
    )
    lifted_by = serializers.SerializerMethodField(
        help_text="Code of the plan to choose for more; null where no plan that can be chosen has more."
    )

    def get_lifted_by(self, use: Any) -> str | None:
        """Return the plan's code."""
        return use.lifted_by.code if use.lifted_by else None


class QuotasOutput(serializers.Serializer[Any]):
    """What a workspace may have, and has."""

    plan = serializers.CharField(
        allow_null=True, help_text="Code of the workspace's plan; null for an organization that has not chosen one."
    )
    calls_a_minute = serializers.IntegerField(allow_null=True, help_text=f"Runs that all its endpoints start in a minute. {UNLIMITED}")
    quotas = QuotaOutput(many=True)


class ListedPlanOutput(serializers.ModelSerializer[Plan]):
    """A plan."""

    interval = serializers.ChoiceField(choices=PlanInterval.choices, help_text="How often it is paid and gives credits.")
    price_cents = serializers.IntegerField(help_text="Hundredths of `currency`, for each interval.")
    credits = serializers.SerializerMethodField(help_text="Credits that each interval brings, exact.")
    micro_credits = serializers.IntegerField(source="credits", help_text="The same in millionths of a credit.")
    hits = serializers.IntegerField(help_text="Serverless runs that are free, once.")
    validity_months = serializers.IntegerField(help_text="How long credits are valid; 0: for ever.")
    quotas = serializers.SerializerMethodField(help_text=f"Of a workspace, storage_bytes of each project. {UNLIMITED}")
    infrastructures = serializers.ListField(
        child=serializers.CharField(), help_text='"PROVIDER FLAVOUR" that deployments may be placed on; "*": all.'
    )
    calls_a_minute = serializers.IntegerField(
        allow_null=True, help_text=f"Runs that all endpoints of a workspace start in a minute. {UNLIMITED}"
    )
    offered = serializers.BooleanField(help_text="Whether it can be chosen.")
    current = serializers.SerializerMethodField(help_text="Whether your own workspace is on it.")

    class Meta:
        model = Plan
        fields = (
            "code",
            "name",
            "interval",
            "price_cents",
            "currency",
            "credits",
            "micro_credits",
            "hits",
            "validity_months",
            "quotas",
            "infrastructures",
            "calls_a_minute",
            "personal",
            "organizations",
            "offered",
            "current",
        )

    def get_credits(self, plan: Plan) -> str:
        """Return credits as people read them."""
        return credits_text(plan.credits)

    def get_quotas(self, plan: Plan) -> dict[str, int | None]:
        """Return the limits by quota."""
        return {quota.value: limit_of(plan, quota) for quota in Quota}

    def get_current(self, plan: Plan) -> bool:
        """Tell whether it is the caller's."""
        return bool(plan.pk == self.context["current"])
