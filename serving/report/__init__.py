"""The morning SLA report: `build_report` reads it, `render_html` writes its page, `publish` delivers it."""

from __future__ import annotations

from serving.report.build import build_report
from serving.report.model import MorningReport
from serving.report.publish import Published, publish
from serving.report.render import render_html
from serving.report.verdict import judge

__all__ = ["MorningReport", "Published", "build_report", "judge", "publish", "render_html"]
