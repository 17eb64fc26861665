"""Distances that are known otherwise, and the shape of the tables."""

from __future__ import annotations

import numpy as np
import pytest
from tracks_made import NOON, SECOND, line

from domain.tracks import Fixes, make_fixes, thin
from domain.tracks.geo import EARTH_M, distance_m, haversine_m, steps_m, wrap_deg


@pytest.mark.parametrize(
    ("a", "b", "metres"),
    [
        ((0, 0), (0, 0), 0.0),
        ((0, 0), (90, 0), EARTH_M * np.pi / 2),
        ((0, 0), (0, 180), EARTH_M * np.pi),
        ((90, 17), (90, -120), 0.0),
        ((0, 179.5), (0, -179.5), EARTH_M * np.pi / 180),
        ((-33, 10), (33, -170), EARTH_M * np.pi),
    ],
)
def test_distances_on_the_sphere(a: tuple[float, float], b: tuple[float, float], metres: float) -> None:
    assert haversine_m(*a, *b) == pytest.approx(metres, abs=0.1)
    assert distance_m(*a, *b) == pytest.approx(metres, abs=0.1)
    assert steps_m(np.array([a[0], b[0]]), np.array([a[1], b[1]]))[0] == pytest.approx(metres, abs=0.1)


def test_the_sphere_is_near_the_ellipsoid() -> None:
    # Flinders Peak to Buninyong: 54,972.271 m on GRS 80 (Geoscience Australia's test of Vincenty's formulae).
    apart = distance_m(-37.95103342, 144.42486789, -37.65282114, 143.92649554)
    assert apart == pytest.approx(54_972.271, rel=0.0056)


def test_longitudes_wrap_at_the_date_line() -> None:
    assert wrap_deg([180, -180, 190, -190, 540, 0]).tolist() == [-180, -180, -170, 170, -180, 0]


def test_thinning_keeps_the_first_fix_of_each_stretch_in_any_order() -> None:
    fixes = line([0, 5, 14, 15, 31, 44.9, 60], np.zeros(7))
    mixed = fixes.take(np.array([6, 2, 0, 5, 3, 1, 4]))
    assert ((thin(mixed, 15).fixed_at_us - NOON) // SECOND).tolist() == [0, 15, 31, 60]


def test_a_table_refuses_columns_that_are_not_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"Fixes\.lon"):
        Fixes(**{**line([0, 1], [0, 0]).columns(), "lon": np.zeros(3)})
    with pytest.raises(TypeError):
        make_fixes(0, [1], [1.0], [1.0], colour=[2])
