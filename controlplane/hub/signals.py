"""What the HUB tells to the rooms above it."""

from django.dispatch import Signal

# namespace: Namespace; within the transaction, under the namespace's lock, before an algorithm is created in it. A receiver that raises undoes it.
algorithm_creating = Signal()
