"""Paths of deployments under /v1/."""

from django.urls import path

from deployments.api import views

urlpatterns = [
    path("offers/", views.OfferList.as_view(), name="offers"),
    path("workflows/<uuid:workflow_id>/deployments/", views.WorkflowDeploymentList.as_view(), name="workflow-deployments"),
    path("deployments/<uuid:deployment_id>/", views.DeploymentDetail.as_view(), name="deployment"),
    path("deployments/<uuid:deployment_id>/logs/", views.DeploymentLogs.as_view(), name="deployment-logs"),
    path("deployments/<uuid:deployment_id>/usage/", views.DeploymentUsage.as_view(), name="deployment-usage"),
]
