"""The marks of checks; a module that imports nothing, for every pytest run loads it."""

MARKS = (
    "deadline(seconds): how long the check may take on a node under KVM; longer under TCG",
    "nodes(count, promise=None): it needs so many nodes (that promise it); not run with fewer",
    "retry(count, reason): try again so often where it fails; a pass is then shown as flaky",
)
