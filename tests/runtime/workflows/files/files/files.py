"""Entry point that the engine looks for."""
# mypy: ignore-errors

from ikomia import dataprocess

from files.files_process import FilesFactory


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    """Registers the algorithm."""

    def __init__(self):
        dataprocess.CPluginProcessInterface.__init__(self)

    def get_process_factory(self):
        """The factory of the algorithm."""
        return FilesFactory()
