"""Shapes of deployments on the wire."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.api.fields import ChoiceField, UrlField
from deployments.models import Bundle, Deployment
from deployments.offers import FLAVOURS, PROVIDER_ALIASES, PROVIDERS, REGIONS, SIZES
from deployments.selectors import serving_replica
from deployments.states import MEANINGS, SERVING_STATUSES, DesiredState, ReplicaStatus, Status, next_step


class PriceOutput(serializers.Serializer[Any]):
    """A price in whole micro-credits (a millionth of a credit)."""

    micro_credits = serializers.IntegerField()
    unit = ChoiceField(choices=["ms", "s"], help_text="`ms` of execution, or `s` that an instance is up.")
    credits_per_second = serializers.SerializerMethodField()

    def get_credits_per_second(self, price: Any) -> str:
        """Return the rate as published."""
        return f"{price.per_second:f}"


class OfferOutput(serializers.Serializer[Any]):
    """Something that a workflow can be deployed on."""

    provider = ChoiceField(choices=PROVIDERS)
    flavour = ChoiceField(choices=FLAVOURS, help_text="SERVERLESS, CLUSTER (CPU instances) or GPU.")
    size = ChoiceField(choices=SIZES)
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

    provider = ChoiceField(choices=[*PROVIDERS, *PROVIDER_ALIASES])
    region = ChoiceField(choices=REGIONS)
    flavour = ChoiceField(choices=FLAVOURS)
    size = ChoiceField(choices=SIZES, default="M")


class DeploymentChange(serializers.Serializer[Any]):
    """What may change: the size. The whole object may come back, everything else in it is ignored."""

    size = ChoiceField(choices=SIZES, required=False)


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


class ReplicasOutput(serializers.Serializer[Any]):
    """How many replicas serve, and how many may."""

    serving = serializers.IntegerField()
    min_replicas = serializers.IntegerField()
    max_replicas = serializers.IntegerField()
    idle_seconds = serializers.IntegerField()
    asleep = serializers.BooleanField(help_text="Nobody called for `idle_seconds`; the next call starts a replica and waits for it.")


class BaseOutput(serializers.Serializer[Any]):
    """The runtime that the wanted version was built for; empty before it is built."""

    name = serializers.CharField(allow_blank=True)
    note = serializers.CharField(
        allow_blank=True, help_text="Not empty where it is not exactly what the workflow names, but the nearest that fits."
    )


class DeploymentOutput(serializers.ModelSerializer[Deployment]):
    """A deployment. `tag` and `size` are what is wanted; while it is UPDATING the former ones still serve."""

    url = UrlField("deployment", deployment_id="id")
    uid = serializers.UUIDField(source="id", read_only=True)
    workflow = UrlField("workflow", workflow_id="workflow_id")
    tag = serializers.CharField(source="wanted_version.tag", read_only=True)
    outdated = serializers.SerializerMethodField(help_text="The workflow has a newer version than this deployment is to run.")
    status = ChoiceField(choices=Status.values, read_only=True)
    reason = serializers.SerializerMethodField()
    endpoint = serializers.CharField(read_only=True, help_text="The URL to call; it never changes.")
    isolation = serializers.SerializerMethodField()
    paused = serializers.SerializerMethodField(help_text="It is to be paused, or is.")
    replicas = serializers.SerializerMethodField()
    base = serializers.SerializerMethodField()
    image = serializers.SerializerMethodField(help_text="What to pull where bundles are pushed to a registry as images; else empty.")

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
            "revision",
            "outdated",
            "status",
            "status_since",
            "reason",
            "endpoint",
            "backend",
            "isolation",
            "paused",
            "replicas",
            "base",
            "image",
            "auto_rollback",
            "expires_at",
            "created_at",
            "updated_at",
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._built: dict[Any, Bundle | None] = {}

    def get_outdated(self, deployment: Deployment) -> bool:
        """Compare the wanted version with the workflow's newest."""
        return deployment.workflow is not None and deployment.workflow.current_id != deployment.wanted_version_id

    @extend_schema_field(ReasonOutput)
    def get_reason(self, deployment: Deployment) -> dict[str, str]:
        """Say why it is there and what comes next."""
        status = Status(deployment.status)
        detail = deployment.reason_detail or MEANINGS[status][0]
        return {"code": deployment.reason_code, "detail": detail, "next": next_step(deployment.reason_code, status)}

    @extend_schema_field(BaseOutput)
    def get_base(self, deployment: Deployment) -> dict[str, str]:
        """Tell what the wanted version was built for."""
        built = self.built(deployment)
        return {"name": built.base, "note": built.base_note} if built else {"name": "", "note": ""}

    def get_image(self, deployment: Deployment) -> str:
        """Tell the image of the wanted version."""
        built = self.built(deployment)
        return built.image if built else ""

    def built(self, deployment: Deployment) -> Bundle | None:
        """Return what the wanted version was built into, looked up once for each version."""
        version = deployment.wanted_version_id
        if version not in self._built:
            rows = Bundle.objects.filter(version=version).exclude(digest="").only("base", "base_note", "image")
            self._built[version] = rows.first()
        return self._built[version]

    def get_paused(self, deployment: Deployment) -> bool:
        """Tell the wish, which the status follows."""
        return deployment.desired_state == DesiredState.PAUSED

    @extend_schema_field(ReplicasOutput)
    def get_replicas(self, deployment: Deployment) -> dict[str, Any]:
        """Count the serving replicas beside the limits."""
        serving = deployment.replicas.filter(status=ReplicaStatus.SERVING).count()
        return {
            "serving": serving,
            "min_replicas": deployment.min_replicas,
            "max_replicas": deployment.max_replicas,
            "idle_seconds": deployment.idle_seconds,
            "asleep": deployment.may_sleep and serving == 0 and deployment.status in SERVING_STATUSES,
        }

    @extend_schema_field(IsolationOutput)
    def get_isolation(self, deployment: Deployment) -> dict[str, str]:
        """Return the level that the serving replica reached."""
        replica = serving_replica(deployment)
        return dict(replica.isolation) if replica else {}
