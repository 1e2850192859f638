"""What can go wrong that the reader of the message can mend, and the exit code that says so to a script.

Library code raises a Problem with one line that names the file, line or flag and the remedy; the commands print that
line and leave. Anything else that reaches the top is a bug of ours and keeps its traceback.
"""


class Problem(Exception):
    """The data or the run failed: exit code 1. The message is one line: what, where, what to do."""

    exit_code = 1


class UsageProblem(Problem):
    """The command was asked for something it does not understand: exit code 2."""

    exit_code = 2


class Preempted(Problem):
    """The run was told to stop and has saved: exit code 75 (EX_TEMPFAIL); the same command resumes it."""

    exit_code = 75
