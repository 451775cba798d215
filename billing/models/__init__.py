"""Plans, wallets with their ledger, holds and metered resources, caps, notices, subscriptions, and what Stripe told."""

from billing.models.caps import CapPeriod, Notice, NoticeKind, SpendCap
from billing.models.ledger import Account, DailySpend, EntryKind, Grant, GrantSource, HourlySpend, LedgerEntry, Posting, Unit
from billing.models.metering import BilledDeployment, BilledSpan, Hold, MeteredResource
from billing.models.plan import Plan, PlanInterval, Price
from billing.models.stripe import Invoice, StripeEvent, StripeSync
from billing.models.subscription import Subscription, SubscriptionStatus
from billing.models.wallet import Funding, FundingChange, Wallet

__all__ = [
    "Account",
    "BilledDeployment",
    "BilledSpan",
    "CapPeriod",
    "DailySpend",
    "EntryKind",
    "Funding",
    "FundingChange",
    "Grant",
    "GrantSource",
    "Hold",
    "HourlySpend",
    "Invoice",
    "LedgerEntry",
    "MeteredResource",
    "Notice",
    "NoticeKind",
    "Plan",
    "PlanInterval",
    "Posting",
    "Price",
    "SpendCap",
    "StripeEvent",
    "StripeSync",
    "Subscription",
    "SubscriptionStatus",
    "Unit",
    "Wallet",
]
