"""The dashboard for Grafana: whole in itself, and about metrics that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployment.production import REPOSITORY

DASHBOARD = json.loads((REPOSITORY / "ops" / "grafana" / "avatar-api.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
WIDTH = 24
MAXIMUM_OF = re.compile(r"\b(max|min)( by \([\w, ]+\))? ?\((rate\(|increase\()?$")


def expressions() -> Iterator[str]:
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])


def test_it_shows_metrics_that_there_are(exported: dict[str, list[str]]) -> None:
    series = {name for names in exported.values() for name in names}
    named = {name for expr in expressions() for name in re.findall(r"\bavatar_\w+", expr)}

    assert named
    assert named <= series


def test_each_panel_has_an_id_of_its_own_and_asks_the_chosen_prometheus() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names)) > 0


def test_panels_lie_side_by_side_and_not_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_what_every_web_process_tells_is_never_added_up(panel: dict[str, Any]) -> None:
    """Numbers of the deployment come once from each web process: without a maximum they would count twice."""
    of_one_process = ("avatar_http_", "avatar_rate_limit", "avatar_disk_")
    for target in panel["targets"]:
        for match in re.finditer(r"avatar_\w+", target["expr"]):
            if not match[0].startswith(of_one_process):
                before = target["expr"][: match.start()]
                assert MAXIMUM_OF.search(before), target["expr"]
