"""The training stage: the submission trains one model for each of the grader's seeds. The budget is in its command, in
sentences; time is only a ceiling. What it leaves is kept as bytes for the tagging, and opened by nobody else.

The points are for training that works: each seed that ends with a model gives its share.
"""

from __future__ import annotations

from typing import Any

from grader.assignment import Stage
from grader.results import worst
from grader.stages.base import Grading, Spent, cut, finish, keep_log, missing_entry, problem, run_command


def run(grading: Grading, stage: Stage) -> dict[str, Any]:
    spent = Spent()
    fault = missing_entry(grading, stage)
    if fault:
        grading.models = dict.fromkeys(grading.seeds)
        return finish(stage, fault.verdict, 0.0, spent, fault.message)
    verdicts, messages, logs, details = [], [], [], {}
    for seed in grading.seeds:
        values = {"seed": str(seed), "model": stage.model, "output": stage.output}
        before = spent.seconds
        found = run_command(grading, stage, values, {}, {stage.model: stage.model_bytes}, spent)
        fault = problem(grading, stage, found, stage.model)
        verdicts.append(fault.verdict if fault else "ok")
        if fault:
            messages.append(f"seed {seed}: {fault.message}")
        details[f"seed {seed}"] = {"seconds": round(spent.seconds - before, 3), "trained": 0 if fault else 1}
        grading.models[seed] = None if fault else found.files[stage.model]
        logs.append(f"[seed {seed}]\n{cut(found.outcome.log)}")
        keep_log(grading, stage, str(seed), found.outcome.log)
    trained = sum(verdict == "ok" for verdict in verdicts)
    message = "; ".join(messages) or f"trained {trained} model{'s' if trained > 1 else ''}"
    points = stage.points * trained / len(grading.seeds)
    return finish(stage, worst(verdicts), points, spent, message, details, "\n".join(logs))
