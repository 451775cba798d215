"""What other rooms may wish to know of."""

from django.dispatch import Signal

# Sent inside the transaction with `organization`, `users` (their ids) and `path`: roles went down or something became private, so that access to
# what is at this path or below may be over.
access_lowered = Signal()

# Sent inside the transaction with `organization`, before it is deleted. A receiver that raises `Conflict` keeps it.
organization_deleting = Signal()
