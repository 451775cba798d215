"""What projects tell to the rooms above them."""

from django.dispatch import Signal

# project: Project; within the transaction, under the project's lock. A receiver removes what goes along, and raises `Conflict` for what must not.
project_deleting = Signal()
