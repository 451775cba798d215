"""Deployments as a Django app."""

from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    """Offers, builds, states, the reconciler, routes, logs and usage."""

    name = "deployments"

    def ready(self) -> None:
        """Tell the HUB what the runtimes are, billing what is offered and how many deployments there are, and say what arguments of routes name."""
        from billing.allowances import Quota
        from billing.plan_edits import register_offered
        from billing.quotas import register_counter
        from controlplane.hub.platforms import register_runtime
        from controlplane.workspaces.replays import register_permission_argument
        from deployments.admission import count_deployments
        from deployments.bundles.algorithms import known_platform
        from deployments.models import Deployment, Schedule
        from deployments.offers import offers

        register_runtime(known_platform)
        register_offered(f"{offer.provider} {offer.flavour}" for offer in offers())
        register_counter(Quota.DEPLOYMENTS, count_deployments)
        register_permission_argument("deployment_id", Deployment, lambda deployment: deployment.workflow.project)
        register_permission_argument("schedule_id", Schedule, lambda schedule: schedule.deployment.workflow.project)
