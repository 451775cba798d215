"""Paths of projects under /v1/."""

from django.urls import path

from controlplane.projects.api import views, workflow_views

urlpatterns = [
    path("projects/", views.ProjectList.as_view(), name="projects"),
    path("projects/<uuid:project_id>/", views.ProjectDetail.as_view(), name="project"),
    path("projects/<uuid:project_id>/members/", views.ProjectMemberList.as_view(), name="project-members"),
    path("projects/<uuid:project_id>/members/<uuid:user_id>/", views.ProjectMemberDetail.as_view(), name="project-member"),
    path("projects/<uuid:project_id>/jwt/", views.ProjectToken.as_view(), name="project-token"),
    path("projects/<uuid:project_id>/workflows/", workflow_views.ProjectWorkflowList.as_view(), name="project-workflows"),
    path("namespaces/<uuid:namespace_id>/projects/", views.NamespaceProjectList.as_view(), name="namespace-projects"),
    path("workflows/<uuid:workflow_id>/", workflow_views.WorkflowDetail.as_view(), name="workflow"),
    path("workflows/<uuid:workflow_id>/versions/", workflow_views.VersionList.as_view(), name="workflow-versions"),
    path("workflows/<uuid:workflow_id>/versions/<int:number>/archive/", workflow_views.VersionArchive.as_view(), name="workflow-archive"),
]
