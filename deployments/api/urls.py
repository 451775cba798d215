"""Paths of deployments under /v1/."""

from django.urls import path

from deployments.api import log_views, usage_views, views

urlpatterns = [
    path("offers/", views.OfferList.as_view(), name="offers"),
    path("workflows/<uuid:workflow_id>/deployments/", views.WorkflowDeploymentList.as_view(), name="workflow-deployments"),
    path("deployments/<uuid:deployment_id>/", views.DeploymentDetail.as_view(), name="deployment"),
    path("deployments/<uuid:deployment_id>/logs/", log_views.DeploymentLogs.as_view(), name="deployment-logs"),
    path("deployments/<uuid:deployment_id>/usage/", usage_views.DeploymentUsage.as_view(), name="deployment-usage"),
    path("projects/<uuid:project_id>/usage/", usage_views.ProjectUsage.as_view(), name="project-usage"),
    path("namespaces/<uuid:namespace_id>/usage/", usage_views.NamespaceUsage.as_view(), name="namespace-usage"),
]
