"""What ends a job with one line for people; anything else is a bug and ends with a traceback."""


class JobRefused(Exception):
    """The job file is wrong; nothing was loaded."""


class JobFailed(Exception):
    """The job could not be done."""


class BadInput(JobFailed):
    """A request or an answer file is not what it should be."""


class ModelUnusable(JobFailed):
    """The checkpoint cannot be loaded, or computes what is no number."""
