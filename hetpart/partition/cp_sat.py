"""Exact scheduling of one `Dag` with CP-SAT: one worker, fixed seed, deterministic limits.

Strong where many tasks are independent of each other (the heads of a detector), where hetpart.partition.labels drowns
in sets; weak where chains run side by side (inception), where that one shines.

Formulation: a literal per (node, option), intervals for what is held of a processor, no overlap per processor; an edge
delays by a constant where both ends' processors are known and by literals where they are not, so there is no big M.
Redundant rows state each processor's load, and literals name what comes before the longest tasks. Heads, tails and a
horizon bound all start times.

Far below the optimum a horizon is refuted at once, and close above it a schedule is soon found: on retinaface's heads
1 % below takes a tenth of the time of the last proof. So probes close in on the optimum first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hetpart.errors import InternalError
from hetpart.partition.bounds import heads, lower_bound, margins, reach, tails
from hetpart.partition.budget import Budget
from hetpart.partition.dag import Dag, Delay, Proof, Schedule

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


_UNITS_PER_TICK = 10.0
"""Units of the budget per unit of CP-SAT's deterministic time, which takes a core about 7.5 s without the LP."""

_PROBE = 2.0
"""Units that a probe may take."""

_NEAR = 50
"""Bounds that differ by less than one part in so many are no longer probed between: the last proof does it at once."""

_LONGEST = 10
"""How many tasks get literals for what comes before them; on retinaface's heads 3 or all took twice as long."""


def solve_by_cp_sat(dag: Dag, known: Proof, cutoff: int, limit: float, budget: Budget) -> Proof:
    """Improves what is `known`, the schedule or its bound, with at most `limit` units of the budget.

    Schedules as long as `cutoff` are of no interest: the bound is not raised beyond.
    """
    search = _Search(dag, known, cutoff, min(limit, budget.left))
    before = search.left
    search.run()
    budget.charge(before - search.left)
    return Proof(search.best, search.lower)


class _Search:
    """Schedules from `lower` to less than `upper` are of interest."""

    def __init__(self, dag: Dag, known: Proof, cutoff: int, left: float) -> None:
        self.dag = dag
        self.head, self.tail = heads(dag), tails(dag)
        self.best = known.schedule
        self.lower = max(known.lower_bound, lower_bound(dag, self.head, self.tail))
        self.upper = min(cutoff, self.best.makespan)
        self.left = left

    def run(self) -> None:
        """Probes, then one solve for the rest.

        With a horizon far from the optimum, above or below, CP-SAT answers at once.
        """
        parts = 2
        while self.upper - self.lower > self.upper // _NEAR and parts <= 8:
            if not self._solve(self.lower + (self.upper - self.lower) // parts, min(_PROBE, self.left), probe=True):
                parts *= 2
        self._solve(self.upper - 1, self.left)

    def _solve(self, horizon: int, limit: float, probe: bool = False) -> bool:
        """Whether there is a schedule no longer than `horizon`, within `limit` units; a probe takes the first."""
        if limit <= 0 or horizon < self.lower:
            return False
        from ortools.sat.python import cp_model  # half a second: only when there is something to solve

        model = _Model(self.dag, self.head, self.tail, self.best, horizon)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        solver.parameters.catch_sigint_signal = False  # Ctrl-C is the command line's
        solver.parameters.linearization_level = 0  # the relaxation never paid
        solver.parameters.max_deterministic_time = limit / _UNITS_PER_TICK
        solver.parameters.stop_after_first_solution = probe
        status = solver.solve(model.model)
        self.left -= solver.response_proto.deterministic_time * _UNITS_PER_TICK
        if status == cp_model.MODEL_INVALID:
            raise InternalError("solver-failed", f"CP-SAT says {solver.status_name(status)} though the model is valid")
        if status == cp_model.INFEASIBLE:
            self.lower = horizon + 1
        else:
            self.lower = max(self.lower, math.ceil(solver.best_objective_bound - 1e-6))
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            self.best = model.schedule(solver)
            self.upper = self.best.makespan
        return bool(status != cp_model.UNKNOWN)


class _Model:
    """The CP-SAT model; its parts in the order in which they are stated."""

    def __init__(
        self, dag: Dag, head: list[list[int]], tail: list[list[int]], incumbent: Schedule, horizon: int
    ) -> None:
        from ortools.sat.python import cp_model

        self.dag = dag
        self.horizon = horizon
        self.reach = reach(dag)
        self.model = cp_model.CpModel()
        self.chosen = [self._one_of(len(options)) for options in dag.options]
        self.starts = self._start_times(head, tail)
        self.finishes = [
            start + self._pick(v, [option.length for option in options])
            for v, (start, options) in enumerate(zip(self.starts, dag.options, strict=True))
        ]
        self._paths(head, tail)
        for edge in dag.edges:
            self._precedence(*edge)
        self._processors(margins(dag, head, tail))
        self.model.minimize(self.finishes[-1])
        self._hint(incumbent)

    def schedule(self, solver: cp_model.CpSolver) -> Schedule:
        options = tuple(
            next(option for option, literal in zip(each, self.chosen[v], strict=True) if solver.boolean_value(literal))
            for v, each in enumerate(self.dag.options)
        )
        return Schedule(options, tuple(solver.value(start) for start in self.starts))

    def _one_of(self, count: int) -> list[cp_model.LiteralT]:
        """`count` literals of which exactly one holds."""
        if count == 1:
            return [True]
        if count == 2:
            first = self.model.new_bool_var("")
            return [first, ~first]
        literals: list[cp_model.LiteralT] = [self.model.new_bool_var("") for _ in range(count)]
        self.model.add_exactly_one(literals)
        return literals

    def _pick(self, v: int, values: Sequence[int]) -> cp_model.LinearExprT:
        """The entry of `values` that belongs to v's option."""
        return sum(value * literal for value, literal in zip(values, self.chosen[v], strict=True))

    def _start_times(self, head: list[list[int]], tail: list[list[int]]) -> list[cp_model.IntVar]:
        starts = [self.model.new_constant(0)]
        for v, options in enumerate(self.dag.options[1:], start=1):
            latest = self.horizon - min(option.length + rest for option, rest in zip(options, tail[v], strict=True))
            starts.append(self.model.new_int_var(min(head[v]), latest, ""))
        return starts

    def _paths(self, head: list[list[int]], tail: list[list[int]]) -> None:
        """Heads and tails by option."""
        for v, options in enumerate(self.dag.options):
            if len(options) > 1:
                self.model.add(self.starts[v] >= self._pick(v, head[v]))
                self.model.add(self.finishes[-1] >= self.finishes[v] + self._pick(v, tail[v]))

    def _precedence(self, u: int, w: int, delay: Delay) -> None:
        made, read = self.dag.options[u], self.dag.options[w]
        if len(read) == 1:
            wait = self._pick(u, [delay[maker.processor][read[0].processor] for maker in made])
        elif len(made) == 1:
            wait = self._pick(w, [delay[made[0].processor][reader.processor] for reader in read])
        else:
            wait = self._crossing(u, w, delay)
        self.model.add(self.starts[w] >= self.finishes[u] + wait)

    def _crossing(self, u: int, w: int, delay: Delay) -> cp_model.LinearExprT:
        """The delay where both ends have a choice: a literal per distinct value, forced by the pairs that cost it."""
        literals: dict[int, cp_model.IntVar] = {}
        for maker, maker_chosen in zip(self.dag.options[u], self.chosen[u], strict=True):
            for reader, reader_chosen in zip(self.dag.options[w], self.chosen[w], strict=True):
                if value := delay[maker.processor][reader.processor]:
                    crosses = literals.setdefault(value, self.model.new_bool_var(""))
                    self.model.add_bool_or([~maker_chosen, ~reader_chosen, crosses])
        return sum(value * literal for value, literal in literals.items())

    def _processors(self, margin: list[int]) -> None:
        """One thing at a time; and all of it, with the margin, fits into the makespan."""
        for processor, lost in enumerate(margin):
            times = [[dict(option.uses).get(processor, 0) for option in options] for options in self.dag.options]
            self.model.add_no_overlap([held for v, each in enumerate(times) for held in self._held(v, each)])
            self.model.add(self.finishes[-1] >= lost + sum(self._pick(v, each) for v, each in enumerate(times)))
            self._order(times)

    def _held(self, v: int, times: list[int]) -> list[cp_model.IntervalVar]:
        """When v holds a processor: for ``times[i]`` from its start in its i-th option.

        A task that holds it in either of its options (all of them hold the host, if only to be launched) is one
        interval: no matter which option is chosen, its time counts.
        """
        if all(times) and len(times) <= 2:
            end = self.model.new_int_var(0, self.horizon, "")
            return [self.model.new_interval_var(self.starts[v], self._pick(v, times), end, "")]
        return [
            self.model.new_optional_fixed_size_interval_var(self.starts[v], time, literal, "")
            for time, literal in zip(times, self.chosen[v], strict=True)
            if time
        ]

    def _order(self, times: list[list[int]]) -> None:
        """A literal for which comes first, for each of the longest tasks that must hold a processor and any other.

        Whether something happens before or after a long task is what a proof has to tell apart. Without names for it
        CP-SAT learns only about single start times.
        """
        holders = [v for v, each in enumerate(times) if all(each)]
        long = sorted(holders, key=lambda v: (-max(times[v]), v))[:_LONGEST]
        for place, v in enumerate(long):
            for w in holders:
                if w not in long[: place + 1] and not (self.reach[v] >> w | self.reach[w] >> v) & 1:
                    first = self.model.new_bool_var("")
                    self._wait(v, times[v], w, first)
                    self._wait(w, times[w], v, ~first)

    def _wait(self, v: int, times: list[int], w: int, condition: cp_model.LiteralT) -> None:
        """On `condition`, w starts after v has held the processor."""
        for time, literal in zip(times, self.chosen[v], strict=True):
            self.model.add(self.starts[w] >= self.starts[v] + time).only_enforce_if([condition, literal])

    def _hint(self, incumbent: Schedule) -> None:
        for v, options in enumerate(self.dag.options):
            self.model.add_hint(self.starts[v], incumbent.starts[v])
            if len(options) == 2:  # a literal and its negation: hinting both is an invalid model
                self.model.add_hint(self.chosen[v][0], incumbent.options[v] == options[0])
            elif len(options) > 2:
                for option, literal in zip(options, self.chosen[v], strict=True):
                    self.model.add_hint(literal, incumbent.options[v] == option)
