"""The tagging stage: each trained model tags words it has not seen; accuracy is counted here, outside.

The input holds words only, in shuffled order. With a twin set, both sets are in the one input, sentences of both mixed:
a program cannot treat one better than the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grader import results, scoring
from grader.assignment import Stage
from grader.errors import StudentFault
from grader.results import worst
from grader.scoring import Tagged
from grader.stages.base import Grading, Spent, cut, finish, keep_log, missing_entry, problem, run_command

PUBLIC = "the {name} that is shipped is public with this package: install a secret test set (`secret --from FILE`)"


def run(grading: Grading, stage: Stage) -> dict[str, Any]:
    path, secret = gold_path(stage)
    if not secret:
        grading.notes.append(PUBLIC.format(name=stage.gold))
    return score_on(grading, stage, path)


def gold_path(stage: Stage) -> tuple[Path, bool]:
    """The tagged test file, and whether it is a secret one."""
    try:
        from grader.secret import gold_path
    except ModuleNotFoundError:  # the students' package, whose assignment has public data only
        return results.PACKAGE / "data" / stage.gold, False
    return gold_path(stage.gold)


def score_on(grading: Grading, stage: Stage, path: Path) -> dict[str, Any]:
    """Tag the words of a corpus with each trained model, and score."""
    spent = Spent()
    fault = missing_entry(grading, stage)
    if not fault and not any(grading.models.values()):
        fault = StudentFault("missing_file", "there is no model to tag with: see the training")
    if fault:
        return finish(stage, fault.verdict, 0.0, spent, fault.message)
    gold = scoring.read_gold(path)
    sets = {stage.gold: gold}
    if stage.twin:
        training = scoring.read_gold(grading.assignment.data_file(grading.assignment.train))
        sets["twin"] = scoring.twin(gold, training, stage.twin, grading.seed)
    sentences = [sentence for of_set in sets.values() for sentence in of_set]
    by_set: dict[str, dict[int, dict[str, Any] | None]] = {name: {} for name in sets}
    verdicts, messages, logs = [], [], []
    for seed in grading.seeds:
        model = grading.models[seed]
        if model is None:
            fault = StudentFault("missing_file", "its training left no model")
        else:
            tags, fault, log = tag(grading, stage, sentences, seed, model, spent)
            logs.append(f"[seed {seed}]\n{cut(log)}")
            keep_log(grading, stage, str(seed), log)
        verdicts.append(fault.verdict if fault else "ok")
        if fault:
            messages.append(f"seed {seed}: {fault.message}")
        start = 0
        for name, of_set in sets.items():
            found = None if fault else tags[start : start + len(of_set)]
            by_set[name][seed] = found and scoring.score(of_set, found, grading.vocabulary)
            start += len(of_set)
    for name, scores in by_set.items():
        grading.scores[name] = scoring.over_seeds(scores)
    return judge(grading, stage, verdicts, messages, logs, spent)


def judge(
    grading: Grading, stage: Stage, verdicts: list[str], messages: list[str], logs: list[str], spent: Spent
) -> dict[str, Any]:
    """Points by the rubric of the mean accuracy over seeds; a seed without a tagging counts as nothing right."""
    found = grading.scores.get(stage.gold)
    details: dict[str, Any] = {}
    share = 0.0
    if found:
        accuracy = found["accuracy"]["all"]
        low, high = scoring.interval(found["correct_by_sentence"], found["tokens_by_sentence"])
        details.update(accuracy=accuracy, interval_95=[low, high])
        rubric = grading.profile.rubrics.get(stage.name)
        share = rubric.share(accuracy) if rubric else 0.0
        details["share"] = share
        twin = grading.scores.get("twin") if stage.twin else None
        if twin:
            gap = accuracy - twin["accuracy"]["all"]
            details.update(twin_accuracy=twin["accuracy"]["all"], gap=gap, flagged=int(gap > grading.profile.gap))
            if gap > grading.profile.gap:
                grading.flags.append(
                    f"{stage.gold} {accuracy:.1%}, twin set {twin['accuracy']['all']:.1%}: more apart than "
                    f"{grading.profile.gap:.1%}; a human should look whether answers were memorised"
                )
    message = "; ".join(messages) or (f"accuracy {details['accuracy']:.1%}" if details else "")
    return finish(stage, worst(verdicts), stage.points * share, spent, message, details, "\n".join(logs))


def tag(
    grading: Grading, stage: Stage, sentences: Sequence[Tagged], seed: int, model: bytes, spent: Spent
) -> tuple[list[tuple[str, ...]], StudentFault | None, str]:
    """The tags of these sentences by one model, or what is wrong, and the log."""
    order = scoring.shuffled(len(sentences), grading.seed * 1000 + seed)
    mixed = [sentences[place] for place in order]
    values = {"seed": str(seed), "model": stage.model, "input": stage.input, "output": stage.output}
    put = {stage.model: model, stage.input: scoring.as_input(mixed, stage.dummy_tag)}
    want = {stage.output: scoring.largest_output(mixed)}
    found = run_command(grading, stage, values, put, want, spent)
    fault = problem(grading, stage, found, stage.output)
    if not fault:
        try:
            tags = scoring.read_tagging(found.files[stage.output], mixed)
            return scoring.unshuffled(tags, order), None, found.outcome.log
        except StudentFault as bad:
            fault = bad
    return [], fault, found.outcome.log
