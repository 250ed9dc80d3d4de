"""The footprint as tables, JSON and plot."""

from collections import Counter
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.footprint_phase import Phase
from bench.report import RESULTS, write_result

OURS: Final = ("indexer", "worker", "api")
_PARTS: Final = (*OURS, "postgres", "valkey", "node")
_WIDTH: Final = 150
_DAY_SECONDS: Final = 86_400
_MILLION: Final = 1_000_000
# Bounds: memory busy to idle, processor time a payment at the highest to the lowest rate, calls a payment to one.
_MEMORY_RATIO_MAX: Final = 1.5
_CPU_GROWTH_MAX: Final = 1.1
_CALLS_MAX: Final = 1.25


def conclude(phases: list[Phase], *, accounts: int) -> bool:
    """Print, write and draw; true when everything is within its bounds."""
    idle, *busy = phases
    console = Console(width=_WIDTH)
    console.print(_processes(idle, busy))
    console.print(_calls(idle, busy, accounts))
    bounds = _bounds(idle, busy)
    table = Table("promise", title="Footprint: bounds")
    for column in ("measured", "ceiling", "ratio", "bound"):
        table.add_column(column, justify="right")
    for name, measured, ceiling, ratio_max in bounds:
        ratio = f"{measured / ceiling:.2f}"
        shown = ratio if measured <= ratio_max * ceiling else Text(ratio, style="bold red")
        table.add_row(name, f"{measured:.2f}", f"{ceiling:.2f}", shown, f"{ratio_max:g}x")
    console.print(table)
    write_result("footprint", _as_json(phases, bounds, accounts))
    _draw(idle, busy)
    everything_honoured = all(phase.bought.honoured == phase.bought.payments > 0 for phase in busy)
    if not everything_honoured:
        console.print("Not every payment was honoured, so these figures are of an overloaded system.", style="red")
    return everything_honoured and all(measured <= ratio_max * ceiling for _, measured, ceiling, ratio_max in bounds)


def _cpu_share(phase: Phase, part: str) -> float:
    """How much of one core a part used."""
    return phase.cpu_seconds[part] / phase.seconds


def _cpu_ms_a_payment(phase: Phase, idle: Phase, parts: tuple[str, ...]) -> float:
    """Milliseconds of processor time for each payment, without what an idle system uses."""
    used = sum(phase.cpu_seconds[part] - _cpu_share(idle, part) * phase.seconds for part in parts)
    return 1000 * used / phase.bought.payments


def _a_second_idle(idle: Phase) -> dict[str, float]:
    return {method: count / idle.call_seconds for method, count in idle.calls.items()}


def _a_payment(phase: Phase, idle: Phase) -> dict[str, float]:
    """Calls for each payment by method, without those of an idle system."""
    without = _a_second_idle(idle)
    return {
        method: (phase.calls[method] - without.get(method, 0.0) * phase.call_seconds) / phase.bought.payments
        for method in sorted(phase.calls | idle.calls)
    }


def _a_million(phase: Phase, idle: Phase) -> float:
    """Calls for a million payments that come steadily at this rate, with those that an idle system makes."""
    return _MILLION * (sum(_a_payment(phase, idle).values()) + sum(_a_second_idle(idle).values()) / phase.rate)


def _bounds(idle: Phase, busy: list[Phase]) -> list[tuple[str, float, float, float]]:
    """Name, measured, ceiling, and how many times the ceiling is allowed."""
    patient = [phase for phase in busy if "at once" not in phase.name]
    lowest, highest = patient[1], patient[-1]
    parts = (*OURS, "postgres", "valkey")
    found = [
        (f"{part}: MB at {highest.name}, to idle", highest.megabytes[part], idle.megabytes[part], _MEMORY_RATIO_MAX)
        for part in OURS
    ]
    found.append(
        (
            f"CPU ms a payment at {highest.name}, to {lowest.name}",
            _cpu_ms_a_payment(highest, idle, parts),
            _cpu_ms_a_payment(lowest, idle, parts),
            _CPU_GROWTH_MAX,
        )
    )
    found.extend(
        (
            f"RPC calls a payment at {phase.name}, to one",
            sum(_a_payment(phase, idle).values()),
            1.0,
            # Finality is asked for every other second while there is any to wait for, and with one call for all.
            _CALLS_MAX + 1 / phase.rate,
        )
        for phase in patient
    )
    return found


def _processes(idle: Phase, busy: list[Phase]) -> Table:
    table = Table(title="Footprint: megabytes, percent of one core, and milliseconds of it a payment costs beyond idle")
    table.add_column("part")
    for phase in (idle, *busy):
        table.add_column(phase.name, justify="right")
    for part in _PARTS:
        cells = [f"{idle.megabytes[part]:.0f} MB {100 * _cpu_share(idle, part):.1f} %"]
        cells += [
            f"{phase.megabytes[part]:.0f} MB {100 * _cpu_share(phase, part):.1f} % "
            f"{_cpu_ms_a_payment(phase, idle, (part,)):.1f} ms"
            for phase in busy
        ]
        table.add_row(part, *cells)
    honoured = [f"{phase.bought.honoured} of {phase.bought.payments}" for phase in busy]
    table.add_row("payments honoured", "", *honoured)
    return table


def _calls(idle: Phase, busy: list[Phase], accounts: int) -> Table:
    title = f"RPC calls, counted at the node: idle a day ({accounts} accounts), and a payment beyond that"
    table = Table("method", title=title)
    table.add_column("idle, a day", justify="right")
    for phase in busy:
        table.add_column(phase.name, justify="right")
    a_day = {method: _DAY_SECONDS * rate for method, rate in _a_second_idle(idle).items()}
    a_payment = [_a_payment(phase, idle) for phase in busy]
    methods = sorted({*a_day, *(method for one in a_payment for method in one)})
    for method in methods:
        cells = [f"{one.get(method, 0.0):.3f}" for one in a_payment]
        table.add_row(method, f"{a_day.get(method, 0.0):,.0f}", *cells)
    table.add_section()
    table.add_row("all", f"{sum(a_day.values()):,.0f}", *(f"{sum(one.values()):.3f}" for one in a_payment))
    table.add_row("a million payments, idle included", "", *(f"{_a_million(phase, idle):,.0f}" for phase in busy))
    return table


def _as_json(phases: list[Phase], bounds: list[tuple[str, float, float, float]], accounts: int) -> dict[str, Any]:
    idle = phases[0]
    return {
        "accounts": accounts,
        "idleCallsADay": {method: _DAY_SECONDS * rate for method, rate in _a_second_idle(idle).items()},
        "phases": [
            {
                "name": phase.name,
                "rate": phase.rate,
                "seconds": phase.seconds,
                "payments": phase.bought.payments,
                "honoured": phase.bought.honoured,
                "requests": phase.bought.requests,
                "megabytes": phase.megabytes,
                "cpuShare": {part: _cpu_share(phase, part) for part in phase.cpu_seconds},
                "calls": dict(Counter(phase.calls)),
                "callSeconds": phase.call_seconds,
                **({"callsAPayment": _a_payment(phase, idle), "callsAMillion": _a_million(phase, idle)}
                   if phase.bought.payments else {}),
            }
            for phase in phases
        ],
        "bounds": [
            {"name": name, "measured": measured, "ceiling": ceiling, "boundRatio": ratio_max}
            for name, measured, ceiling, ratio_max in bounds
        ],
    }  # fmt: skip


def _draw(idle: Phase, busy: list[Phase]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    phases = [idle, *busy]
    figure, (memory, cpu, calls) = plt.subplots(1, 3, figsize=(17, 6), layout="constrained")
    where = range(len(phases))
    for axes, title, of in (
        (memory, "megabytes", lambda phase, part: phase.megabytes[part]),
        (cpu, "percent of one core", lambda phase, part: 100 * _cpu_share(phase, part)),
    ):
        below = [0.0] * len(phases)
        for part in _PARTS[:-1]:
            heights = [of(phase, part) for phase in phases]
            axes.bar(where, heights, bottom=below, label=part)
            below = [low + height for low, height in zip(below, heights, strict=True)]
        axes.set_title(title)
        axes.legend(fontsize="small")
        axes.set_xticks(list(where), [phase.name.replace(", ", "\n") for phase in phases], fontsize="small")
    below = [0.0] * len(busy)
    for method in sorted({method for phase in busy for method in _a_payment(phase, idle)}):
        heights = [max(_a_payment(phase, idle).get(method, 0.0), 0.0) for phase in busy]
        calls.bar(range(len(busy)), heights, bottom=below, label=method)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    spread = [sum(_a_second_idle(idle).values()) / phase.rate for phase in busy]
    calls.bar(range(len(busy)), spread, bottom=below, color="lightgrey", label="idle, spread over the payments")
    calls.axhline(1.0, linestyle="--", alpha=0.5, color="black", label="the one that is needed")
    calls.set_title("RPC calls a payment")
    calls.set_xticks(range(len(busy)), [phase.name.replace(", ", "\n") for phase in busy], fontsize="small")
    calls.legend(fontsize="small")
    figure.suptitle("Footprint of an idle and of a busy system")
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "footprint.png", dpi=120)
    plt.close(figure)
