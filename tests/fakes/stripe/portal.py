"""The customer portal: what it lets customers do, and visits to it."""

from __future__ import annotations

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.forms import Form, flag
from tests.fakes.stripe.pages import page
from tests.fakes.stripe.refusals import invalid


def create_configuration(account: Account, form: Form) -> Json:
    """POST /v1/billing_portal/configurations."""
    if "features" not in form:
        raise invalid("Missing required param: features.", param="features", code="parameter_missing")
    profile = form.get("business_profile") or {}
    content = {
        "active": True,
        "application": None,
        "business_profile": {name: profile.get(name) for name in ("headline", "privacy_policy_url", "terms_of_service_url")},
        "default_return_url": form.get("default_return_url"),
        "features": features_of(form["features"]),
        "is_default": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": form.get("metadata") or {},
        "name": form.get("name"),
        "updated": account.now,
    }
    made = account.make("bpc", content)
    emit(account, "billing_portal.configuration.created", made)
    return made


def features_of(asked: Form) -> Json:
    """Return what customers may do: what was not asked for is off."""

    def enabled(name: str) -> bool:
        return flag(asked.get(name) or {}, "enabled")

    cancel = asked.get("subscription_cancel") or {}
    return {
        "customer_update": {
            "allowed_updates": (asked.get("customer_update") or {}).get("allowed_updates") or [],
            "enabled": enabled("customer_update"),
        },
        "invoice_history": {"enabled": enabled("invoice_history")},
        "payment_method_update": {"enabled": enabled("payment_method_update"), "payment_method_configuration": None},
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": []},
            "enabled": enabled("subscription_cancel"),
            "mode": cancel.get("mode", "at_period_end"),
            "proration_behavior": cancel.get("proration_behavior", "none"),
        },
        "subscription_pause": {
            "duration": {"interval_options": [{"interval": "month", "interval_count": 1}], "type": "interval_options"},
            "enabled": enabled("subscription_pause"),
        },
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": [],
            "enabled": enabled("subscription_update"),
            "proration_behavior": "none",
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }


def list_configurations(account: Account, form: Form) -> Json:
    """GET /v1/billing_portal/configurations."""
    found = account.all("billing_portal.configuration")
    if "active" in form:
        found = [configuration for configuration in found if configuration["active"] == flag(form, "active")]
    return page("/v1/billing_portal/configurations", found, form)


def create_portal_session(account: Account, form: Form) -> Json:
    """POST /v1/billing_portal/sessions: like an account that has no default configuration, so that one must be named."""
    customer = account.get("customer", form.get("customer", ""), param="customer")
    if "configuration" not in form:
        raise invalid("No configuration provided and your default configuration has not been created.", param="configuration")
    configuration = account.get("billing_portal.configuration", form["configuration"], param="configuration")
    content = {
        "configuration": configuration["id"],
        "customer": customer["id"],
        "customer_account": None,
        "flow": None,
        "locale": form.get("locale"),
        "on_behalf_of": None,
        "return_url": form.get("return_url"),
        "url": "",
    }
    made = account.make("bps", content)
    made["url"] = f"{account.url}/portal/{made['id']}"
    return made
