"""Refusals of billing, each saying what is missing and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controlplane.common.errors import Conflict, InvalidInput, PaymentRequired, PermissionDenied


class UnknownPlan(InvalidInput):
    """There is no plan of that code (400)."""

    def __init__(self, code: str, known: Sequence[str]) -> None:
        super().__init__(
            "unknown_plan", f"There is no plan '{code[:40]}'. Choose one of {', '.join(known)}.", fields={"plan": ["Unknown."]}
        )


class NoCredits(PaymentRequired):
    """What is available does not pay for it (402). `fields` tell required, available and missing in micro-credits."""

    def __init__(self, detail: str, *, required: int, available: int) -> None:
        fields: dict[str, Any] = {"required": required, "available": available, "missing": max(0, required - available)}
        super().__init__("no_credits", detail, fields=fields)
        self.required = required


class CapReached(PaymentRequired):
    """A spend cap that somebody of the workspace set is reached (402)."""

    def __init__(self, detail: str) -> None:
        super().__init__("spend_cap_reached", detail)


class QuotaReached(Conflict):
    """The plan's quota is used up (409). `fields` tell quota, limit, used and the plan that lifts it."""

    def __init__(self, detail: str, *, quota: str, limit: int, used: int, lifted_by: str | None) -> None:
        super().__init__("quota_reached", detail, fields={"quota": quota, "limit": limit, "used": used, "lifted_by": lifted_by})


class NotInPlan(PermissionDenied):
    """The plan does not have this infrastructure (403)."""

    def __init__(self, detail: str, *, lifted_by: str | None) -> None:
        super().__init__("not_in_plan", detail, fields={"lifted_by": lifted_by})


class KeyReused(Conflict):
    """A grant with this key is there already, and is another one (409)."""

    def __init__(self, key: str) -> None:
        super().__init__("grant_key_reused", f"A grant with the key '{key}' exists with another amount. Use a new key for a new grant.")
