"""Shapes of deployments on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.api.fields import UrlField
from deployments.logs import LEVELS
from deployments.models import Deployment, LogLine
from deployments.offers import FLAVOURS, PROVIDER_ALIASES, PROVIDERS, REGIONS, SIZES
from deployments.selectors import serving_replica
from deployments.states import MEANINGS, Status, next_step

# 2286-11-20; above it a millisecond timestamp is a mistake, and dates end.
MOST_MS = 10_000_000_000_000
LOG_LIMIT = 10_000


class PriceOutput(serializers.Serializer[Any]):
    """A price in whole micro-credits (a millionth of a credit)."""

    micro_credits = serializers.IntegerField()
    unit = serializers.ChoiceField(choices=["ms", "s"], help_text="`ms` of execution, or `s` that an instance is up.")
    credits_per_second = serializers.SerializerMethodField()

    def get_credits_per_second(self, price: Any) -> str:
        """Return the rate as published."""
        return f"{price.per_second:f}"


class OfferOutput(serializers.Serializer[Any]):
    """Something that a workflow can be deployed on."""

    provider = serializers.ChoiceField(choices=PROVIDERS)
    flavour = serializers.ChoiceField(choices=FLAVOURS, help_text="SERVERLESS, CLUSTER (CPU instances) or GPU.")
    size = serializers.ChoiceField(choices=SIZES)
    product = serializers.CharField(help_text="The name that usage is counted under.")
    vcpu = serializers.IntegerField()
    ram_mb = serializers.IntegerField()
    disk_gb = serializers.IntegerField()
    ephemeral_mb = serializers.IntegerField()
    gpu = serializers.CharField(allow_blank=True)
    regions = serializers.ListField(child=serializers.CharField())
    price = PriceOutput()
    available = serializers.BooleanField()
    unavailable_reason = serializers.CharField(source="unavailable", allow_blank=True)
    backend = serializers.CharField(
        help_text="Who serves it: `local` is this service's own machine, limited to the offer or to what it has."
    )


class DeploymentInput(serializers.Serializer[Any]):
    """A deployment to make. `SCALEWAY_VIA_SCALEDYNAMICS` is another name of SCALEWAY."""

    provider = serializers.ChoiceField(choices=[*PROVIDERS, *PROVIDER_ALIASES])
    region = serializers.ChoiceField(choices=REGIONS)
    flavour = serializers.ChoiceField(choices=FLAVOURS)
    size = serializers.ChoiceField(choices=SIZES, default="M")


class DeploymentChange(serializers.Serializer[Any]):
    """What may change: the size. The whole object may come back, everything else in it is ignored."""

    size = serializers.ChoiceField(choices=SIZES, required=False)


class ReasonOutput(serializers.Serializer[Any]):
    """Why a deployment is where it is."""

    code = serializers.CharField(allow_blank=True, help_text="Stable, for programs; empty when nothing went wrong.")
    detail = serializers.CharField()
    next = serializers.CharField(allow_blank=True, help_text="What comes next, or what to do.")


class IsolationOutput(serializers.Serializer[Any]):
    """How the serving replica is kept apart; empty before there is one."""

    sandbox = serializers.CharField(required=False, help_text="`bubblewrap` (no network) or `process` (trusted workflows only).")
    user = serializers.CharField(required=False, help_text="`own` or `shared`.")
    limits = serializers.CharField(required=False, help_text="`cgroup-v2`, `cgroup-v1` or `memory-watchdog`.")


class DeploymentOutput(serializers.ModelSerializer[Deployment]):
    """A deployment. `tag` and `size` are what is wanted; while it is UPDATING the former ones still serve."""

    url = UrlField("deployment", deployment_id="id")
    uid = serializers.UUIDField(source="id", read_only=True)
    workflow = UrlField("workflow", workflow_id="workflow_id")
    tag = serializers.CharField(source="wanted_version.tag", read_only=True)
    outdated = serializers.SerializerMethodField(help_text="The workflow has a newer version than this deployment is to run.")
    status = serializers.ChoiceField(choices=Status.values, read_only=True)
    reason = serializers.SerializerMethodField()
    endpoint = serializers.CharField(read_only=True, help_text="The URL to call; it never changes.")
    isolation = serializers.SerializerMethodField()

    class Meta:
        model = Deployment
        fields = [
            "url",
            "uid",
            "workflow",
            "provider",
            "region",
            "flavour",
            "size",
            "tag",
            "outdated",
            "status",
            "status_since",
            "reason",
            "endpoint",
            "backend",
            "isolation",
            "created_at",
            "updated_at",
        ]

    def get_outdated(self, deployment: Deployment) -> bool:
        """Compare the wanted version with the workflow's newest."""
        return deployment.workflow is not None and deployment.workflow.current_id != deployment.wanted_version_id

    @extend_schema_field(ReasonOutput)
    def get_reason(self, deployment: Deployment) -> dict[str, str]:
        """Say why it is there and what comes next."""
        status = Status(deployment.status)
        detail = deployment.reason_detail or MEANINGS[status][0]
        return {"code": deployment.reason_code, "detail": detail, "next": next_step(deployment.reason_code, status)}

    @extend_schema_field(IsolationOutput)
    def get_isolation(self, deployment: Deployment) -> dict[str, str]:
        """Return the level that the serving replica reached."""
        replica = serving_replica(deployment)
        return dict(replica.isolation) if replica else {}


class LogQuery(serializers.Serializer[Any]):
    """Which lines of a log: times in milliseconds since 1970, both ends included."""

    start = serializers.IntegerField(required=False, min_value=0, max_value=MOST_MS)
    end = serializers.IntegerField(required=False, min_value=0, max_value=MOST_MS)
    level = serializers.ChoiceField(choices=LEVELS, required=False, help_text="Lines of exactly this level.")
    limit = serializers.IntegerField(min_value=1, max_value=LOG_LIMIT, default=1000)


class LogLineOutput(serializers.ModelSerializer[LogLine]):
    """A line; `run` and `duration_ms` (of the engine) are there on lines about a run."""

    source = serializers.ChoiceField(choices=["build", "run"], read_only=True)  # type: ignore[assignment]

    class Meta:
        model = LogLine
        fields = ["timestamp", "level", "source", "message", "run", "duration_ms"]

    def to_representation(self, line: LogLine) -> dict[str, Any]:
        """Leave out what a line does not have."""
        return {name: value for name, value in super().to_representation(line).items() if value is not None}


class LogOutput(serializers.Serializer[Any]):
    """Lines in order; go on with `start = end + 1`."""

    logs = LogLineOutput(many=True)
    end = serializers.IntegerField(help_text="Time of the last line.")


class UsageQuery(serializers.Serializer[Any]):
    """A period in milliseconds since 1970. The default is the last 24 hours."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Name the fields as the wire does: `from` is no Python name."""
        return {name: serializers.IntegerField(required=False, min_value=0, max_value=MOST_MS) for name in ("from", "to")}


class ProductOutput(serializers.Serializer[Any]):
    """What was used."""

    name = serializers.CharField()
    unit = serializers.CharField()


class HitsOutput(serializers.Serializer[Any]):
    """Runs in total, and by the start of their minute, hour or day in milliseconds (minutes up to a day, hours up to eight days)."""

    total = serializers.IntegerField()
    data = serializers.DictField(child=serializers.IntegerField())  # type: ignore[assignment]


class UsageOutput(serializers.Serializer[Any]):
    """The runs of one product."""

    product = ProductOutput()
    hits = HitsOutput()
    duration_ms = serializers.IntegerField(help_text="Time of the engine, each run rounded up to a whole millisecond.")
    micro_credits = serializers.IntegerField(help_text="What the runs cost, in millionths of a credit.")


def moment(milliseconds: int) -> datetime:
    """Return the aware moment of a millisecond timestamp."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
