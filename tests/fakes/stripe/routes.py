"""What is answered where, and with which parameters: any other is refused, so that nothing is sent that does nothing here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.stripe import catalogue, checkout, customers, events, invoices, portal, subscriptions
from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.forms import Form
from tests.fakes.stripe.refusals import Refused, invalid

PAGES = "limit starting_after ending_before"


@dataclass(frozen=True)
class Route:
    """A function for a method and a path; `{id}` is any id. `params` are what it knows, as the SDK's `params` type calls them."""

    method: str
    path: str
    answer: Callable[..., Json]
    params: str = ""

    def match(self, method: str, path: str) -> list[str] | None:
        """Return the ids in a path, None when this is another route."""
        found = re.fullmatch(self.path.replace("{id}", "([^/]+)"), path) if method == self.method else None
        return list(found.groups()) if found else None


ROUTES = [
    Route("POST", "/v1/products", catalogue.create_product, "id name description active metadata"),
    Route("GET", "/v1/products", catalogue.list_products, f"active ids {PAGES}"),
    Route("GET", "/v1/products/{id}", catalogue.retrieve_product),
    Route("POST", "/v1/products/{id}", catalogue.update_product, "name description active metadata"),
    Route(
        "POST",
        "/v1/prices",
        catalogue.create_price,
        "product currency unit_amount recurring lookup_key transfer_lookup_key nickname metadata active tax_behavior",
    ),
    Route("GET", "/v1/prices", catalogue.list_prices, f"active lookup_keys product {PAGES}"),
    Route("GET", "/v1/prices/{id}", catalogue.retrieve_price),
    Route("POST", "/v1/prices/{id}", catalogue.update_price, "active lookup_key transfer_lookup_key nickname metadata"),
    Route("POST", "/v1/customers", customers.create_customer, "name email description metadata"),
    Route("GET", "/v1/customers", customers.list_customers, f"email {PAGES}"),
    Route("GET", "/v1/customers/{id}", customers.retrieve_customer),
    Route("POST", "/v1/customers/{id}", customers.update_customer, "name email description metadata"),
    Route("DELETE", "/v1/customers/{id}", customers.delete_customer),
    Route(
        "POST",
        "/v1/checkout/sessions",
        checkout.create_session,
        "mode customer line_items success_url cancel_url client_reference_id metadata subscription_data expires_at",
    ),
    Route("GET", "/v1/checkout/sessions", checkout.list_sessions, f"customer subscription status {PAGES}"),
    Route("GET", "/v1/checkout/sessions/{id}", checkout.retrieve_session),
    Route("POST", "/v1/checkout/sessions/{id}/expire", checkout.expire_session),
    Route(
        "POST",
        "/v1/billing_portal/configurations",
        portal.create_configuration,
        "features business_profile default_return_url metadata name",
    ),
    Route("GET", "/v1/billing_portal/configurations", portal.list_configurations, f"active {PAGES}"),
    Route("POST", "/v1/billing_portal/sessions", portal.create_portal_session, "customer configuration return_url locale"),
    Route("GET", "/v1/subscriptions", subscriptions.list_subscriptions, f"customer status {PAGES}"),
    Route("GET", "/v1/subscriptions/{id}", subscriptions.retrieve_subscription),
    Route(
        "POST",
        "/v1/subscriptions/{id}",
        subscriptions.update_subscription,
        "items proration_behavior billing_cycle_anchor payment_behavior cancel_at_period_end cancel_at metadata",
    ),
    Route("DELETE", "/v1/subscriptions/{id}", subscriptions.cancel_subscription, "cancellation_details"),
    Route("GET", "/v1/invoices", invoices.list_invoices, f"customer subscription status created {PAGES}"),
    Route("GET", "/v1/invoices/{id}", invoices.retrieve_invoice),
    Route("GET", "/v1/invoices/{id}/lines", invoices.list_lines, PAGES),
    Route("POST", "/v1/invoices/{id}/pay", invoices.pay_invoice),
    Route("GET", "/v1/events", events.list_events, f"type types created {PAGES}"),
    Route("GET", "/v1/events/{id}", events.retrieve_event),
]


def answer(account: Account, method: str, path: str, form: Form) -> Json:
    """Return what a request is answered with; raises Refused."""
    for route in ROUTES:
        ids = route.match(method, path)
        if ids is None:
            continue
        if unknown := set(form) - set(route.params.split()) - {"expand"}:
            name = min(unknown)
            raise invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")
        return route.answer(account, form, *ids)
    raise Refused(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")
