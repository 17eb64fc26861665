"""From counts to a verdict. Pure."""

from __future__ import annotations

from quality.reconcile.model import Attempt, Cause, Counted, Verdict


def judge(counted: Counted, earlier: Attempt | None, done: tuple[str, ...] = ()) -> Attempt:
    """Return the attempt that a count comes to.

    Args:
        counted: what the arms say now.
        earlier: the newest attempt before this one; a window that differed and holds now was repaired.
        done: the repairs made since. Those that the earlier attempt made, or set out to make before its process died,
            are taken over: they are in effect, or the window differs still.
    """
    causes = {difference.cause for difference in counted.differences}
    repairs = tuple(dict.fromkeys((earlier.repairs if earlier else ()) + done))
    if Cause.NOT_COUNTED in causes:
        verdict = Verdict.NOT_COUNTED
    elif causes:
        verdict = Verdict.DIFFERS
    elif repairs:
        verdict = Verdict.REPAIRED
    else:
        verdict = Verdict.PASSED
    return Attempt(
        counted.window,
        verdict,
        counted.at,
        counted.counts,
        tuple(counted.differences),
        tuple(counted.notes),
        repairs,
        objects_digest=counted.objects_digest,
    )
