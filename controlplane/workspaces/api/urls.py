"""Paths of workspaces under /v1/."""

from django.urls import path

from controlplane.workspaces.api import views

urlpatterns = [
    path("namespaces/", views.NamespaceList.as_view(), name="namespaces"),
    path("namespaces/<uuid:namespace_id>/", views.NamespaceDetail.as_view(), name="namespace"),
    path("namespaces/<uuid:namespace_id>/namespaces/", views.SubNamespaceList.as_view(), name="namespace-namespaces"),
]
