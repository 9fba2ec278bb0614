"""Charts: real text, classes for colours, nothing inline, ids of one's own, and the same figures as a table."""

import math
import re

from doubleback.recipes.report.charts import Axes, Line, area_chart, line_chart, spread


def lines(number, length=5):
    return [Line(f"line {n}", range(length), [n + step / 10 for step in range(length)]) for n in range(number)]


def test_a_chart_has_text_and_classes_and_no_style():
    band = Line("with $ and <b>", [0, 1], [0.5, 0.7], [0.4, 0.6], [0.6, 0.8])
    chart = line_chart("Pass rate", [band, *lines(2)], Axes(of="share"))
    picture = str(chart.picture)
    assert "style=" not in picture
    assert re.search(r"<text[^>]*>with \$ and &lt;b&gt;</text>", picture)
    assert {"line-0", "line-1", "line-2", "fill-0"} <= set(re.findall(r"[\w-]+-\d", picture))
    assert "#0000a0" not in picture
    assert picture.startswith("<svg")
    assert 'role="img" aria-label="Pass rate"' in picture


def test_each_line_has_dashes_and_a_marker_of_its_own():
    picture = str(line_chart("many", lines(6), Axes()).picture)
    dashes = set(re.findall(r'stroke-dasharray="([^"]+)"', picture))
    assert len(dashes) == 5
    markers = re.findall(r'<path[^>]* id="(chart\d+-m\w+)"', picture)
    assert len(markers) >= 6


def test_of_more_lines_than_can_be_told_apart_the_table_has_all():
    chart = line_chart("many", lines(8), Axes(of="share"))
    assert chart.of == "share; the first 6 of 8, the table has all"
    assert chart.table.columns == ("step", *(f"line {n}" for n in range(8)))
    assert ">line 6<" not in str(chart.picture)


def test_two_charts_share_no_id():
    first, second = (str(line_chart("x", lines(2), Axes()).picture) for _ in range(2))
    ids = [set(re.findall(r' id="([^"]+)"', picture)) for picture in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for picture, own in zip((first, second), ids, strict=True):
        references = set(re.findall(r'href="#([^"]+)"', picture)) | set(re.findall(r"url\(#([^)]+)\)", picture))
        assert references <= own


def test_the_table_has_the_figures_with_their_intervals():
    line = Line("pass@1", [0, 10], [0.25, math.nan], [0.2, math.nan], [0.3, math.nan])
    other = Line("rollouts", [10], [0.5])
    chart = line_chart("Pass rate", [line, other], Axes())
    assert chart.table.columns == ("step", "pass@1", "rollouts")
    assert chart.table.rows == [("0", "0.250 [0.200, 0.300]", "-"), ("10", "-", "0.500")]
    assert chart.says == "pass@1: 0.250 at step 0; rollouts: 0.500 at step 10"


def test_what_has_no_value_is_not_drawn():
    assert line_chart("x", [Line("a", [0, 1], [math.nan, math.nan]), Line("b", [], [])], Axes()) is None


def test_parts_are_drawn_on_one_another_and_told_apart():
    chart = area_chart("Seconds", [Line("a", [1, 2], [1.0, 2.0]), Line("b", [1, 2], [3.0, math.nan])], Axes())
    assert chart.table.rows == [("1", "1.000", "3.000"), ("2", "2.000", "-")]


def test_a_long_run_is_thinned_and_says_so():
    chart = line_chart("x", lines(1, 5000), Axes())
    assert len(chart.table.rows) == 40
    assert chart.table.note == "40 of 5000 steps; the run's files have all."
    assert len(str(chart.picture)) < 30_000
    assert spread(5, 3) == [0, 2, 4]
    assert spread(3, 5) == [0, 1, 2]


def test_ticks_within_a_decade_tell_the_second_digit():
    """Those of several decades name decades alone."""
    near = str(line_chart("gap", [Line("gap", [0, 1, 2], [2.0e-6, 3.1e-6, 5.2e-6])], Axes(is_log=True)).picture)
    labels = re.findall(r">([\d.]+e-\d+)<", near)
    assert len(labels) == len(set(labels)) >= 2
    assert all("." in label for label in labels)
    far = str(line_chart("gap", [Line("gap", [0, 1, 2], [1e-7, 1e-5, 1e-3])], Axes(is_log=True)).picture)
    assert "1e-05" in re.findall(r">([\d.]+e-\d+)<", far)
