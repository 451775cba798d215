"""What other rooms may wish to know of."""

from django.dispatch import Signal

# Sent inside the transaction of a sign-up with `user`: a receiver that raises undoes the sign-up.
user_signed_up = Signal()
