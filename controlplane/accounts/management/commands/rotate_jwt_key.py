"""`manage.py rotate_jwt_key`: sign endpoint tokens with a new key from now on."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from controlplane.accounts.keys import rotate_key


class Command(BaseCommand):
    """Rotate at once; tokens signed before stay valid until they expire."""

    help = "Sign endpoint tokens with a new key. Tokens signed before stay valid until they expire."

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate."""
        self.stdout.write(f"new signing key {rotate_key().kid}")
