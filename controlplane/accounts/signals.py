"""What other rooms may wish to know of."""

from django.dispatch import Signal

# Sent inside the transaction of a sign-up with `user`: a receiver that raises undoes the sign-up.
user_signed_up = Signal()

# Sent with `username` before somebody signs up with it: a receiver raises `SlipwayError` when something of its own has this name.
username_wanted = Signal()

# Sent with `user` and `project_id` before a token is bound to a project: a receiver raises when the user does not see it.
token_bound = Signal()
