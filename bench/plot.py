"""Draws a measurement by the size of the work: solid lines are measured, dashed lines are the ceilings."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.points import Point
from bench.report import RESULTS

_COLOURS: Final = 10


def draw(scenario: str, title: str, points: Sequence[Point], size_name: str) -> Path:
    """Write `<scenario>.png` beside the figures; returns where it is."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(12, 6), layout="constrained")
    names = list(dict.fromkeys(point.name for point in points))
    sizes = sorted({point.size for point in points})
    if len(sizes) > 1:
        # There are more lines than colours, so markers distinguish them.
        markers = itertools.chain.from_iterable(itertools.repeat(one, _COLOURS) for one in "osx^v")
        for name in names:
            line = sorted((point for point in points if point.name == name), key=lambda point: point.size)
            at = [point.size for point in line]
            (drawn,) = axes.plot(at, [1000 * point.seconds for point in line], marker=next(markers), label=name)
            axes.plot(at, [1000 * p.ceiling_seconds for p in line], linestyle="--", alpha=0.5, color=drawn.get_color())
        axes.set_xscale("log")
        axes.set_xlabel(f"{size_name} (dashed: the ceiling)")
        figure.legend(loc="outside right center", fontsize="small")
    else:
        where = range(len(points))
        axes.barh(where, [1000 * point.seconds for point in points], height=0.4, align="edge", label="measured")
        ceilings = [1000 * point.ceiling_seconds for point in points]
        axes.barh(where, ceilings, height=-0.4, align="edge", alpha=0.5, label="ceiling")
        axes.set_yticks(list(where), [point.name for point in points])
        axes.legend(fontsize="small")
    if len(sizes) > 1:
        axes.set_yscale("log")
        axes.set_ylabel("milliseconds")
    else:
        axes.set_xlabel("milliseconds")
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{scenario}.png"
    figure.savefig(target, dpi=120)
    plt.close(figure)
    return target
