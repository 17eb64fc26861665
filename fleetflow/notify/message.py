"""What people are told: one message for what belongs together, as a title, a text and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Severity = Literal["error", "warn", "info"]
Notice = Literal["raised", "reminder", "resolved"]

TITLE_LIMIT = 100  # of SNS, in ASCII characters
DETAIL_LIMIT = 2_000
LISTED = 20
_RANK = ("info", "warn", "error")


@dataclass(frozen=True)
class Alert:
    """Something a person should know; `runbook` is a path in this repository, `detail` holds no secret."""

    name: str
    severity: Severity
    subject: str
    detail: str
    runbook: str | None = None


@dataclass(frozen=True)
class Item:
    """One alert in a message, and what is said of it; `alert_id` is its row in `ops.alert`, if it has one."""

    alert: Alert
    notice: Notice
    raised_at: datetime
    resolved_at: datetime | None = None
    alert_id: int | None = None


@dataclass(frozen=True)
class Message:
    """Alerts of one name, at least one, told together."""

    items: Sequence[Item]

    @property
    def name(self) -> str:
        """The alerts' name."""
        return self.items[0].alert.name

    @property
    def severity(self) -> str:
        """The worst severity of what still stands; `resolved` where nothing does."""
        standing = [item.alert.severity for item in self.items if item.notice != "resolved"]
        return max(standing, key=_RANK.index) if standing else "resolved"

    @property
    def title(self) -> str:
        """One line in ASCII."""
        if len(self.items) == 1:
            what = self.items[0].alert.subject
        else:
            counts = {kind: sum(item.notice == kind for item in self.items) for kind in _KINDS}
            what = ", ".join(f"{count} {words}" for kind, words in _KINDS.items() if (count := counts[kind]))
        return _one_line(f"[{self.severity}] {self.name}: {what}")

    @property
    def text(self) -> str:
        """The message as a person reads it: what, since when, and where to read on; at most `LISTED` are listed."""
        lines = [_describe(item) for item in self.items[:LISTED]]
        if len(self.items) > LISTED:
            lines.append(f"... and {len(self.items) - LISTED} more: `fleetflow doctor` lists them all")
        if runbook := self.items[0].alert.runbook:
            lines.append(f"What to do: {runbook}")
        return "\n\n".join(lines) + "\n"

    @property
    def payload(self) -> Mapping[str, Any]:
        """The message for a program; a single alert stands at the top too."""
        first = self.items[0].alert
        return {
            "version": 1,
            "name": self.name,
            "severity": self.severity,
            "subject": first.subject if len(self.items) == 1 else f"{len(self.items)} subjects",
            "detail": first.detail[:DETAIL_LIMIT],
            "runbook": first.runbook,
            "alerts": [_as_json(item) for item in self.items[:LISTED]],
            "left_out": max(0, len(self.items) - LISTED),
        }


_KINDS = {"raised": "raised", "reminder": "still there", "resolved": "resolved"}


def _describe(item: Item) -> str:
    head = f"{_KINDS[item.notice].upper()}  {item.alert.subject}"
    times = f"since {item.raised_at:%F %T} UTC"
    if item.resolved_at:
        times += f", resolved {item.resolved_at:%F %T} UTC"
    return f"{head}\n{item.alert.detail[:DETAIL_LIMIT]}\n{times}"


def _as_json(item: Item) -> dict[str, Any]:
    return {
        "alert_id": item.alert_id,
        "notice": item.notice,
        "severity": item.alert.severity,
        "subject": item.alert.subject,
        "detail": item.alert.detail[:DETAIL_LIMIT],
        "raised_at": item.raised_at.isoformat(),
        "resolved_at": item.resolved_at and item.resolved_at.isoformat(),
    }


def _one_line(text: str) -> str:
    plain = " ".join(text.split()).encode("ascii", "replace").decode()
    return plain if len(plain) <= TITLE_LIMIT else plain[: TITLE_LIMIT - 3] + "..."
