"""What projects tell to the rooms above them. All are sent within the transaction; a receiver that raises undoes it."""

from django.dispatch import Signal

# namespace: Namespace; under its lock, before a project is created in it.
project_creating = Signal()
# project: Project; under its lock, before a workflow of a name that it does not have yet is created in it.
workflow_creating = Signal()
# project: Project; under the project's lock. A receiver removes what goes along, and raises `Conflict` for what must not.
project_deleting = Signal()
