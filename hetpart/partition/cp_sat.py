"""Exact scheduling of one `Dag` with CP-SAT: one worker, fixed seed, deterministic limits.

Strong where many tasks are independent of each other (the heads of a detector), where hetpart.partition.labels drowns
in sets; weak where chains run side by side (inception), where that one shines.

Formulation: a literal per (node, option), a fixed-size optional interval per use of a processor, no overlap per
processor; an edge delays by a constant where both ends' processors are known and by literals where they are not, so
there is no big M. Redundant rows state each processor's load. Heads, tails and the incumbent
bound all start times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hetpart.errors import InternalError
from hetpart.partition.bounds import heads, lower_bound, margins, tails
from hetpart.partition.budget import Budget
from hetpart.partition.dag import Dag, Delay, Proof, Schedule

if TYPE_CHECKING:
    from ortools.sat.python import cp_model


_UNITS_PER_TICK = 16.0
"""Units of the budget per unit of CP-SAT's deterministic time, which takes a core about 12 s without the LP."""


def solve_by_cp_sat(dag: Dag, incumbent: Schedule, limit: float, budget: Budget) -> Proof:
    """Improves `incumbent` or proves how good it is, with at most `limit` units of the budget."""
    head, tail = heads(dag), tails(dag)
    bound = lower_bound(dag, head, tail)
    allowed = min(limit, budget.left)
    if bound >= incumbent.makespan or allowed <= 0:
        return Proof(incumbent, bound)

    from ortools.sat.python import cp_model  # half a second: only when there is something to solve

    model = _Model(dag, head, tail, incumbent)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.catch_sigint_signal = False  # Ctrl-C is the command line's
    solver.parameters.linearization_level = 0  # the relaxation never paid: 2 to 50 times slower on inception segments
    solver.parameters.max_deterministic_time = allowed / _UNITS_PER_TICK
    status = solver.solve(model.model)
    budget.charge(solver.response_proto.deterministic_time * _UNITS_PER_TICK)
    if status in (cp_model.MODEL_INVALID, cp_model.INFEASIBLE):
        raise InternalError("solver-failed", f"CP-SAT says {solver.status_name(status)} though a schedule is known")
    found = incumbent if status == cp_model.UNKNOWN else model.schedule(solver)
    return Proof(found, max(bound, math.ceil(solver.best_objective_bound - 1e-6)))


class _Model:
    """The CP-SAT model; its parts in the order in which they are stated."""

    def __init__(self, dag: Dag, head: list[list[int]], tail: list[list[int]], incumbent: Schedule) -> None:
        from ortools.sat.python import cp_model

        self.dag = dag
        self.model = cp_model.CpModel()
        self.chosen = [self._one_of(len(options)) for options in dag.options]
        self.starts = self._start_times(head, tail, incumbent.makespan)
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

    def _start_times(self, head: list[list[int]], tail: list[list[int]], horizon: int) -> list[cp_model.IntVar]:
        starts = [self.model.new_constant(0)]
        for v, options in enumerate(self.dag.options[1:], start=1):
            latest = horizon - min(option.length + rest for option, rest in zip(options, tail[v], strict=True))
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
        intervals: list[list[cp_model.IntervalVar]] = [[] for _ in margin]
        load: list[cp_model.LinearExprT] = list(margin)
        for v, options in enumerate(self.dag.options):
            for option, literal in zip(options, self.chosen[v], strict=True):
                for processor, time in option.uses:
                    held = self.model.new_optional_fixed_size_interval_var(self.starts[v], time, literal, "")
                    intervals[processor].append(held)
                    load[processor] += time * literal
        for held_all, total in zip(intervals, load, strict=True):
            self.model.add_no_overlap(held_all)
            self.model.add(self.finishes[-1] >= total)

    def _hint(self, incumbent: Schedule) -> None:
        for v, options in enumerate(self.dag.options):
            self.model.add_hint(self.starts[v], incumbent.starts[v])
            if len(options) == 2:  # a literal and its negation: hinting both is an invalid model
                self.model.add_hint(self.chosen[v][0], incumbent.options[v] == options[0])
            elif len(options) > 2:
                for option, literal in zip(options, self.chosen[v], strict=True):
                    self.model.add_hint(literal, incumbent.options[v] == option)
