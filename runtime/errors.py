"""Errors that become an HTTP answer."""


class RequestRefused(Exception):
    """A request that is answered at once with `{"code", "detail"}` and no run."""

    def __init__(self, status: int, code: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class InvalidRun(RequestRefused):
    """The run does not fit the workflow (422)."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(422, code, detail)


class InvalidWorkflow(Exception):
    """The bundle's workflow can't be served; the text says what is wrong and where."""


class StorageUnavailable(Exception):
    """A storage object could not be read; the text says which and why."""
