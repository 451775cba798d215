"""Paths of deployments under /v1/."""

from django.urls import path

from deployments.api import control_views, log_views, quote_views, resume_views, usage_views, views

urlpatterns = [
    path("offers/", views.OfferList.as_view(), name="offers"),
    path("workflows/<uuid:workflow_id>/deployments/", views.WorkflowDeploymentList.as_view(), name="workflow-deployments"),
    path("deployments/<uuid:deployment_id>/", views.DeploymentDetail.as_view(), name="deployment"),
    path("deployments/<uuid:deployment_id>/pause/", control_views.DeploymentPause.as_view(), name="deployment-pause"),
    path("deployments/<uuid:deployment_id>/resume/", control_views.DeploymentResume.as_view(), name="deployment-resume"),
    path("deployments/<uuid:deployment_id>/restart/", control_views.DeploymentRestart.as_view(), name="deployment-restart"),
    path("deployments/<uuid:deployment_id>/rollback/", control_views.DeploymentRollBack.as_view(), name="deployment-rollback"),
    path("deployments/<uuid:deployment_id>/revisions/", control_views.DeploymentRevisions.as_view(), name="deployment-revisions"),
    path("deployments/<uuid:deployment_id>/replicas/", control_views.DeploymentReplicas.as_view(), name="deployment-replicas"),
    path("deployments/<uuid:deployment_id>/history/", control_views.DeploymentHistory.as_view(), name="deployment-history"),
    path("deployments/<uuid:deployment_id>/schedules/", control_views.DeploymentSchedules.as_view(), name="deployment-schedules"),
    path("schedules/<uuid:schedule_id>/", control_views.ScheduleDetail.as_view(), name="schedule"),
    path("deployments/<uuid:deployment_id>/logs/", log_views.DeploymentLogs.as_view(), name="deployment-logs"),
    path("deployments/<uuid:deployment_id>/usage/", usage_views.DeploymentUsage.as_view(), name="deployment-usage"),
    path("projects/<uuid:project_id>/usage/", usage_views.ProjectUsage.as_view(), name="project-usage"),
    path("namespaces/<uuid:namespace_id>/usage/", usage_views.NamespaceUsage.as_view(), name="namespace-usage"),
    path("namespaces/<uuid:namespace_id>/quote/", quote_views.NamespaceQuote.as_view(), name="namespace-quote"),
    path("namespaces/<uuid:namespace_id>/resume/", resume_views.NamespaceResume.as_view(), name="namespace-resume"),
]
