"""What other rooms may wish to know of."""

from django.dispatch import Signal

# Sent inside the transaction with `organization` and `users` (their ids): roles went down or things became private, so that access may be over.
access_lowered = Signal()
