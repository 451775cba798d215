"""Paths of payments under /v1/."""

from django.urls import path

from billing.api import stripe_views as views

urlpatterns = [
    path("namespaces/<uuid:namespace_id>/billing/checkout/", views.CheckoutView.as_view(), name="billing-checkout"),
    path("namespaces/<uuid:namespace_id>/billing/portal/", views.PortalView.as_view(), name="billing-portal"),
    path("namespaces/<uuid:namespace_id>/billing/plan/", views.PlanChangeView.as_view(), name="billing-plan"),
    path("namespaces/<uuid:namespace_id>/billing/cancel/", views.CancelView.as_view(), name="billing-cancel"),
    path("namespaces/<uuid:namespace_id>/billing/reactivate/", views.ReactivateView.as_view(), name="billing-reactivate"),
    path("namespaces/<uuid:namespace_id>/billing/invoices/", views.InvoiceList.as_view(), name="billing-invoices"),
    path("stripe/webhook/", views.StripeWebhook.as_view(), name="stripe-webhook"),
]
