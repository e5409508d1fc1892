"Time two ways of computing the same thing in turn, and say how far the answers are apart."

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One comparison.

    Parameters
    ----------
    name : str
        What is computed.
    ours, peer : callable
        Compute it; the peer may be None, then ours is only timed.
    peer_name : str
        Whose the other one is.
    distance : callable, optional
        From the two answers to how far they are apart.
    tolerance : float
        The largest distance that counts as the same answer.
    target : float, optional
        The least ratio that we stand for.
    rounds : int, optional
        At most so many timed rounds, for work of minutes.
    """

    name: str
    ours: Callable
    peer: Callable | None = None
    peer_name: str = ""
    distance: Callable | None = None
    tolerance: float = 1e-10
    target: float | None = None
    rounds: int | None = None


def once(work: Callable) -> tuple[float, object]:
    "Run a piece of work; give its seconds and its answer."
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def often(work: Callable, times: int = 10) -> Callable:
    "Do a piece of work several times: a call of less than a millisecond is timed ten at once, on both sides."
    return lambda: [work() for _ in range(times)][-1]


def best(work: Callable, rounds: int = 5) -> float:
    "Give the shortest of several runs, ms."
    return 1e3 * min(once(work)[0] for _ in range(rounds))


def measure(case: Case, rounds: int) -> dict:
    "Run both sides in turn, after one warm-up, and give medians and the median of the ratios of neighbours."
    rounds = min(rounds, case.rounds or rounds)
    _, ours = once(case.ours)
    row = {"case": case.name, "peer": case.peer_name}
    if case.peer is None:
        row["ours, ms"] = statistics.median(once(case.ours)[0] for _ in range(rounds)) * 1e3
        return row
    _, theirs = once(case.peer)
    gap = float(case.distance(ours, theirs))
    if not gap <= case.tolerance:
        raise AssertionError(f"{case.name}: the answers are {gap:.3g} apart, more than {case.tolerance:g}")
    pairs = [(once(case.ours)[0], once(case.peer)[0]) for _ in range(rounds)]
    row["ours, ms"] = statistics.median(a for a, _ in pairs) * 1e3
    row["peer, ms"] = statistics.median(b for _, b in pairs) * 1e3
    row["ratio"] = statistics.median(b / a for a, b in pairs)
    row["answers apart"] = gap
    row["target"] = case.target
    return row


def peak_memory(code: str) -> float:
    "Run a program in a process of its own; give the peak of its resident memory, MB (Linux)."
    tell = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    out = subprocess.run([sys.executable, "-c", code + tell], check=True, capture_output=True, text=True).stdout
    return int(out.split()[-1]) / 1024


def table(rows: list[dict]) -> str:
    "Lay rows out as Markdown."
    names = ["case", "ours, ms", "peer", "peer, ms", "ratio", "target", "answers apart"]
    formats = {"ours, ms": ".1f", "peer, ms": ".1f", "ratio": ".0f", "target": ".0f", "answers apart": ".1e"}

    def text(name, value):
        return "" if value is None else format(value, formats[name]) if name in formats else str(value)

    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join(lines + ["| " + " | ".join(text(n, row.get(n)) for n in names) + " |" for row in rows])
