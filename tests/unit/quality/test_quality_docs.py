"""Pages that need no network, and an index that shows our verdict and not Great Expectations'."""

from __future__ import annotations

import re

import pytest

from quality.docs import index_page, make_offline
from quality.expectations import sqlalchemy_url
from quality.model import Check, Observation, SuiteReport, judge
from quality.rules import Holds

OPTIONS = "-c%20timezone%3DUTC%20-c%20work_mem%3D128MB%20-c%20jit%3Doff"

PAGE = """<html><head><title>t</title><link rel="stylesheet" href="https://cdn.example/bootstrap.css"/>
<script src="https://cdn.example/jquery.js"></script><script>var a = "</p>";</script>
<style>.logo { background: url('https://cdn.example/logo.png') 0 0 no-repeat; }</style></head>
<body class="x"><a href="../../index.html">Home</a><img src="https://cdn.example/logo.png"><p>kept</p></body></html>"""


def test_a_page_asks_no_network_for_anything() -> None:
    page = make_offline(PAGE)
    assert "https://" not in page
    assert "<script" not in page
    assert "<p>kept</p>" in page
    assert '<body class="x"><p><a href="index.html">All checks</a></p>Home' in page


def test_the_index_shows_our_verdicts_and_escapes_what_it_shows() -> None:
    check = Check("c", "s", Holds("x"), "What <b>", warn=0.1)
    report = SuiteReport("nightly", None, (judge("nightly", check, Observation(0.5, 1, 2)),), 1.0)
    page = index_page(report, {"s": "s.html"})
    assert re.search(r'verdict ok">passed</span>: 0 errors, 1 warnings', page)
    assert '<td class="verdict warn">warn</td><td><a href="s.html">s</a></td>' in page
    assert "What &lt;b&gt;" in page


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        (
            "postgresql://u:p@h:5432/d",
            f"postgresql+psycopg://u:p@h:5432/d?options={OPTIONS}",
        ),
        (
            "postgres://u:a$HOME%40b@h/d?sslmode=require",
            f"postgresql+psycopg://u:a%24HOME%40b@h/d?sslmode=require&options={OPTIONS}",
        ),
    ],
)
def test_an_address_names_the_driver_and_no_variable(dsn: str, url: str) -> None:
    assert sqlalchemy_url(dsn) == url
