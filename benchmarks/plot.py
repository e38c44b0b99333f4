"""Draws the curves of growth as SVG, on two logarithmic axes."""

from __future__ import annotations

import math
from pathlib import Path
from xml.sax.saxutils import escape

from .programs import (
    AIOHTTP,
    C_LIMIT,
    LISTENER,
    PICOWS_CORE,
    PICOWS_WEBSOCKETS,
    TIDEGATE,
    WEBSOCKETS,
)
from .results import Results, cpu_per_operation
from .scenarios import GROWTH_CONNECTIONS, GROWTH_SIZE, Scenario

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 40, 48
# Colours that people with any colour vision tell apart (Okabe and Ito), each with its own dash.
STYLES = {
    C_LIMIT: ("#000000", "2 3"),
    TIDEGATE: ("#0072B2", ""),
    LISTENER: ("#56B4E9", "8 3"),
    PICOWS_CORE: ("#009E73", "6 2 2 2"),
    PICOWS_WEBSOCKETS: ("#E69F00", "4 2"),
    AIOHTTP: ("#CC79A7", "10 3"),
    WEBSOCKETS: ("#D55E00", "1 2"),
}

Curve = list[tuple[float, float]]


class Axis:
    """A logarithmic scale from values to places on the page."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = math.log10(low), math.log10(high)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        part = (math.log10(value) - self.low) / ((self.high - self.low) or 1)
        return self.start + part * (self.end - self.start)

    def decades(self) -> list[float]:
        return [10.0**n for n in range(math.ceil(self.low), math.floor(self.high) + 1)]


def text(x: float, y: float, content: str, anchor: str = "middle", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def spread_labels(places: dict[str, float], distance: float = 15) -> dict[str, float]:
    """Move labels apart that would lie on one another, keeping their order."""
    moved: dict[str, float] = {}
    last = -math.inf
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        last = moved[name] = max(place, last + distance)
    return moved


def draw(title: str, unit: str, curves: dict[str, Curve], ticks: list[tuple[float, str]]) -> str:
    """Give an SVG document of CPU time per message over ``unit``."""
    xs = [x for x, _ in ticks]
    ys = [y for curve in curves.values() for _, y in curve]
    across = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    up = Axis(min(ys) / 1.3, max(ys) * 1.3, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 22, title, "start", ' font-size="15"'),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, unit),
        text(16, (TOP + HEIGHT - BOTTOM) / 2, "CPU µs per message",
             extra=f' transform="rotate(-90 16 {(TOP + HEIGHT - BOTTOM) / 2})"'),
    ]  # fmt: skip
    for value in up.decades():
        parts.append(line(LEFT, up(value), WIDTH - RIGHT, up(value), "#dddddd"))
        parts.append(text(LEFT - 8, up(value) + 4, f"{value:g}", "end"))
    for value, label in ticks:
        parts.append(line(across(value), TOP, across(value), HEIGHT - BOTTOM, "#eeeeee"))
        parts.append(text(across(value), HEIGHT - BOTTOM + 18, label))
    labels = spread_labels({name: up(curve[-1][1]) for name, curve in curves.items()})
    for name, curve in curves.items():
        colour, dash = STYLES[name]
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve)
        width = 3 if name == TIDEGATE else 2
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}" stroke-dasharray="{dash}"/>'
        )
        y = labels[name]
        parts.append(
            f'<line x1="{WIDTH - RIGHT + 8}" y1="{y:.1f}" x2="{WIDTH - RIGHT + 34}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"/>'
        )
        parts.append(text(WIDTH - RIGHT + 40, y + 4, name, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def collect(results: Results, points: list[tuple[float, Scenario]]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for x, scenario in points:
        for name in results.rounds.get(scenario.name, {}):
            value = results.value(scenario.name, name, cpu_per_operation)
            if name in STYLES and value:
                curves.setdefault(name, []).append((x, value * 1e6))
    return {name: curves[name] for name in STYLES if len(curves.get(name, ())) > 1}


def write_plots(results: Results, folder: Path) -> None:
    """Draw the curves that were measured."""
    connections = [(float(point.connections), point) for point in GROWTH_CONNECTIONS]
    sizes = [(float(point.size), point) for point in GROWTH_SIZE]
    for name, title, unit, points in (
        ("connections", "Growth with connections (4 × 32 B in flight each)", "connections",
         connections),
        ("size", "Growth with message size (4 in flight)", "bytes per message", sizes),
    ):  # fmt: skip
        curves = collect(results, points)
        if curves:
            ticks = [(x, point.title) for x, point in points]
            (folder / f"growth-{name}.svg").write_text(draw(title, unit, curves, ticks))
