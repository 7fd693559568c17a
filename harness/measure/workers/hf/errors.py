"""What ends a job with one line for people; anything else is a bug and ends with a traceback."""


class JobRefusedError(Exception):
    """The job file is wrong; nothing was loaded."""


class JobFailedError(Exception):
    """The job could not be done."""


class BadInputError(JobFailedError):
    """A request or an answer file is not what it should be."""


class ModelError(JobFailedError):
    """The checkpoint cannot be loaded, or computes what is no number."""
