"""Paths of workspaces under /v1/."""

from django.urls import path

from controlplane.workspaces.api import audit_views, views

ORGANIZATION = "organizations/<uuid:organization_id>/"
NAMESPACE = "namespaces/<uuid:namespace_id>/"

urlpatterns = [
    path("organizations/", views.OrganizationList.as_view(), name="organizations"),
    path(ORGANIZATION, views.OrganizationDetail.as_view(), name="organization"),
    path(f"{ORGANIZATION}members/", views.OrganizationMemberList.as_view(), name="organization-members"),
    path(f"{ORGANIZATION}members/<uuid:user_id>/", views.OrganizationMemberDetail.as_view(), name="organization-member"),
    path("namespaces/", views.NamespaceList.as_view(), name="namespaces"),
    path(NAMESPACE, views.NamespaceDetail.as_view(), name="namespace"),
    path(f"{NAMESPACE}namespaces/", views.SubNamespaceList.as_view(), name="namespace-namespaces"),
    path(f"{NAMESPACE}members/", views.NamespaceMemberList.as_view(), name="namespace-members"),
    path(f"{NAMESPACE}members/<uuid:user_id>/", views.NamespaceMemberDetail.as_view(), name="namespace-member"),
    path("roles/", views.RoleMatrix.as_view(), name="roles"),
    path("audit/", audit_views.AuditList.as_view(), name="audit"),
    path("audit/export/", audit_views.AuditExport.as_view(), name="audit-export"),
]
