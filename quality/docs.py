"""Data docs: Great Expectations' pages, one a subject, under an index of our own verdicts; files only.

Great Expectations' pages ask five networks for styles and scripts and its index is made by a script; here the
pages carry one small style sheet, and the index is ours, since its success is not our verdict.
A reader sees the old docs or the new ones: they are built beside the old and put in their place at the end.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from quality.model import CheckResult, SuiteReport

STYLE = Path(__file__).with_name("docs_style.css")
INDEX = "index.html"
_SITE = "fleetflow"
_REMOTE = re.compile(
    r"""<script\b[^>]*>.*?</script>|<link\b[^>]*>|<img\b[^>]*\bsrc=["']https?:[^>]*>""",
    re.DOTALL | re.IGNORECASE,
)
_DEAD_LINK = re.compile(r"""<a\b[^>]*\bhref=["']\.\./[^>]*>(.*?)</a>""", re.DOTALL)
_REMOTE_URL = re.compile(r"url\(\s*['\"]?https?://[^)]*\)", re.IGNORECASE)


def write_docs(context: Any, report: SuiteReport, directory: Path) -> Path:
    """Write the docs of one run of a suite to `<directory>/<suite>`; return its index page."""
    directory.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{report.suite}-", dir=directory))
    try:
        pages = _build_pages(context, draft)
        (draft / INDEX).write_text(index_page(report, pages), encoding="utf-8")
        draft.chmod(0o755)
        _replace(draft, directory / report.suite)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return directory / report.suite / INDEX


def _build_pages(context: Any, draft: Path) -> dict[str, str]:
    """Let Great Expectations render; return the page of each subject, relative to the draft."""
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(draft / "site")}
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    sections = {"site_section_builders": {"expectations": "None", "profiling": "None"}}
    context.add_data_docs_site(
        site_name=_SITE,
        site_config={
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": backend,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            **sections,
        },
    )
    context.build_data_docs(site_names=[_SITE])
    pages = {}
    for page in sorted((draft / "site" / "validations").rglob("*.html")):
        subject = page.stem.removeprefix("warehouse-")
        (draft / f"{subject}.html").write_text(
            make_offline(page.read_text(encoding="utf-8")), encoding="utf-8"
        )
        pages[subject] = f"{subject}.html"
    shutil.rmtree(draft / "site")
    return pages


def make_offline(page: str) -> str:
    """Return a page without scripts and without anything that a network would have to give."""
    style = f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
    back = f'<p><a href="{INDEX}">All checks</a></p>'
    plain = _DEAD_LINK.sub(r"\1", _REMOTE_URL.sub("none", _REMOTE.sub("", page)))
    return re.sub(r"(<body[^>]*>)", rf"\1{back}", plain.replace("</head>", f"{style}</head>", 1), count=1)


def _replace(draft: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    draft.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def index_page(report: SuiteReport, pages: dict[str, str]) -> str:
    """Return the page of a suite's verdicts, the failed ones first, with links to each subject's page."""
    failed = [*report.errors, *report.warnings]
    passed = [result for result in report.results if result.passed]
    word = "passed" if report.passed else "failed"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    head = (
        f'<p class="lead"><span class="verdict {"ok" if report.passed else "error"}">{word}</span>:'
        f" {len(report.errors)} errors, {len(report.warnings)} warnings, {len(passed)} in order.</p>"
        f'<p class="soft">{now}, {report.seconds:.1f} s. An error stops the line, a warning does not.</p>'
    )
    tables = "".join(
        _table(title, rows, pages) for title, rows in (("Failed", failed), ("In order", passed)) if rows
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Checks: {escape(report.suite)}</title>"
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><h1>Checks: {escape(report.suite)}</h1>{head}{tables}</body></html>\n"
    )


def _table(title: str, rows: list[CheckResult], pages: dict[str, str]) -> str:
    body = "".join(_row(result, pages) for result in rows)
    names = "".join(f"<th>{name}</th>" for name in ("", "Subject", "Check", "What it counts", "Seen"))
    return (
        f'<h2>{title}</h2><div class="scroll"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(result: CheckResult, pages: dict[str, str]) -> str:
    verdict = "ok" if result.passed else result.severity
    subject = escape(result.check.subject)
    page = pages.get(result.check.subject)
    linked = f'<a href="{escape(page)}">{subject}</a>' if page else subject
    cells = (linked, escape(result.check.name), escape(result.check.doc), escape(result.detail))
    return (
        f'<tr><td class="verdict {verdict}">{verdict}</td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )
