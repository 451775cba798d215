"""Errors that become an HTTP answer or the failure of a run."""


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


class TransferFailed(Exception):
    """What lies in project storage could not be read, used or written; `code` becomes the run's."""

    code = "storage_unavailable"


class StorageUnavailable(TransferFailed):
    """Storage gave no usable answer, also when asked again."""


class StorageRefused(TransferFailed):
    """Storage answered and said no; the text holds its own words."""

    code = "storage_refused"


class UnusableObject(TransferFailed):
    """An object's content is not what its data type says."""

    code = "invalid_input"


class InputTooLarge(TransferFailed):
    """The objects of a run exceed what a run may bring."""

    code = "input_too_large"


class DiskFull(TransferFailed):
    """The replica has no room for the objects of a run."""

    code = "disk_full"
