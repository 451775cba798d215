"""Paths of the ledger, its exports and spend caps under /v1/."""

from django.urls import URLPattern, path

from billing.api import cap_views, export_views, ledger_views

BILLING = "namespaces/<uuid:namespace_id>/billing/"

urlpatterns: list[URLPattern] = [
    path(BILLING, ledger_views.BillingSummary.as_view(), name="billing"),
    path(f"{BILLING}balance/", ledger_views.BillingBalance.as_view(), name="billing-balance"),
    path(f"{BILLING}grants/", ledger_views.BillingGrants.as_view(), name="billing-grants"),
    path(f"{BILLING}charges/", ledger_views.BillingCharges.as_view(), name="billing-charges"),
    path(f"{BILLING}entries/", ledger_views.BillingEntries.as_view(), name="billing-entries"),
    path(f"{BILLING}export/", export_views.BillingExport.as_view(), name="billing-export"),
    path(f"{BILLING}caps/", cap_views.BillingCapList.as_view(), name="billing-caps"),
    path(f"{BILLING}caps/<uuid:cap_id>/", cap_views.BillingCapDetail.as_view(), name="billing-cap"),
]
