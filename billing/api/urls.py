"""Paths of billing under /v1/."""

from django.urls import URLPattern, path

from billing.api import ledger_urls, plan_views

urlpatterns: list[URLPattern] = [
    *ledger_urls.urlpatterns,
    path("plans/", plan_views.PlanList.as_view(), name="plans"),
    path("namespaces/<uuid:namespace_id>/billing/quotas/", plan_views.NamespaceQuotas.as_view(), name="namespace-quotas"),
]
