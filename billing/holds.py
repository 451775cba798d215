"""Credits that are reserved before something starts: 15 minutes of an instance's rate."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import F

from billing.balances import standing_of
from billing.errors import NoCredits
from billing.funding import review_wallets, unmetered
from billing.models import Hold
from billing.pricing import Price, Unit, credits_text
from billing.wallets import lock_wallets
from controlplane.common import clock

HELD_SECONDS = 15 * 60


def held_for(price: Price, *, instances: int = 1) -> int:
    """Return the micro-credits that are reserved for instances of a price; 0 where only execution is paid."""
    return price.micro_credits * HELD_SECONDS * instances if price.unit is Unit.SECOND else 0


def take_over(former: str, *, resource: str, amount: int) -> bool:
    """Give what is reserved under one name to a resource, `amount` micro-credits of it; returns whether that much was reserved.

    In all as much is held as before, so nobody has to be asked, and no wallet locked.
    """
    rows = Hold.objects.filter(resource=former, released_at=None)
    if rows.filter(amount=amount).update(resource=resource):
        return True
    if not rows.filter(amount__gt=amount).update(amount=F("amount") - amount):
        return False
    hold = rows.get()
    Hold.objects.create(wallet_id=hold.wallet_id, resource=resource, deployment_id=hold.deployment_id, amount=amount)
    return True


def place_hold(*, wallet_id: UUID, resource: str, deployment_id: UUID, amount: int) -> None:
    """Reserve `amount` micro-credits for a resource; again changes nothing.

    Raises `NoCredits` with what is missing when less than that is available; then nothing changes. With amount 0 something must be available.
    """
    with transaction.atomic():
        lock_wallets([wallet_id])
        if Hold.objects.filter(resource=resource, released_at=None).exists():
            return
        require_available(wallet_id, amount)
        if amount:
            Hold.objects.create(wallet_id=wallet_id, resource=resource, deployment_id=deployment_id, amount=amount)
            review_wallets([wallet_id])


def require_available(wallet_id: UUID, amount: int) -> None:
    """Raise `NoCredits` unless `amount` micro-credits (0: anything at all, or free runs) can be reserved now. Unmetered plans always can."""
    standing = standing_of(wallet_id)
    enough = standing.available >= amount if amount else standing.available > 0 or standing.hits > 0
    if enough or unmetered([wallet_id]):
        return
    available = max(0, standing.available)
    held = f" ({credits_text(standing.held)} more are reserved for what runs)" if standing.held else ""
    if amount:
        detail = (
            f"Starting this reserves {credits_text(amount)} credits (15 minutes), and {credits_text(available)} are available{held}: "
            f"{credits_text(amount - available)} are missing. Add credits, pause another deployment, or choose a smaller size."
        )
    else:
        detail = f"The workspace has no credits{held}. Add credits, then try again."
    raise NoCredits(detail, required=max(amount, 1), available=available)


def release_hold(resource: str) -> bool:
    """Give back what is reserved for a resource; returns whether something was."""
    hold = Hold.objects.filter(resource=resource, released_at=None).first()
    if hold is None:
        return False
    with transaction.atomic():
        lock_wallets([hold.wallet_id])
        changed = Hold.objects.filter(pk=hold.pk, released_at=None).update(released_at=clock.now())
        review_wallets([hold.wallet_id])
    return bool(changed)
