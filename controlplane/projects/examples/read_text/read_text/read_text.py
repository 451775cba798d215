"""Entry point that the engine looks for."""

from ikomia import dataprocess

from read_text.read_text_process import ReadTextFactory


class IkomiaPlugin(dataprocess.CPluginProcessInterface):
    """Registers the algorithm."""

    def __init__(self):
        dataprocess.CPluginProcessInterface.__init__(self)

    def get_process_factory(self):
        """The factory of the algorithm; there is no widget, the plugin runs headless."""
        return ReadTextFactory()
