"""Is search harder where sentences are unusual? Perplexity and search error, after Tu and Gimpel (2019), section 6.2.

    python writeup/experiments/perplexity.py [--quick] [--task NAME ...] [--model FILE] [--out FOLDER]

Of a task (`ner`, `pairs`, `tw`, ...) two LSTM language models (perplexity_lm.py) are trained on the text that the model
was trained on, one of the words, one of the gold tags. Each sentence of another text then has a perplexity by both, and
a search error by each way to search the model (perplexity_search.py): all inference networks beside it, gradient
descent from random logits, mean field, beam search. Language models stop early, and the step of the descent is tuned,
on a third text.

The model, its networks and the three texts are those that search.py has left in results/search/models/ under --out
(default: writeup/); without --task, those of all tasks. Or they are FILE, FILE.SETTINGS.infnet, and data/NAMEsup,
NAMEtest and NAMEdev; where there is no NAMEtest, the odd sentences of NAMEdev and its even ones.

Each result is a file in results/perplexity/, made again only where its settings, texts, model or network have changed,
so an interrupted experiment goes on where it stopped. From them come results/perplexity.json and results/perplexity.md,
in which tasks of earlier runs stay, and, with matplotlib, figures/perplexity_NAME (.svg and .png). --quick trains a
tiny model, network and language models on the first sentences, in a temporary folder.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import perplexity_lm as language
import perplexity_search as searching
import script
import torch
from perplexity_page import draw, markdown
from perplexity_rows import points, summarize
from tqdm import tqdm

from chain import ImpossibleError
from corpus import InputError, Sentence, read_corpus
from decoders.infnet import fingerprint, load
from local import LocalTagger
from tagger import Tagger

STEPS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of gradient descent, to be tuned
ITERATIONS = 50
WIDTHS = (1, 4)  # of beams
DRAWS = 10_000
QUICK: dict[str, Any] = dict(task="ner", sentences=40, rows=400, draws=200)
QUICK_MODEL = ["--hidden", "8", "--max_steps", "60", "--restarts", "0", "--dev"]
LEFT = "-energy-0.model"  # behind the task's name, the model that search.py leaves
QUICK_NETWORK = ["--decoder", "infnet", "--infnet", "blstm", "--infnet_hidden", "8", "--infnet_steps", "60"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="next to no training, in a temporary folder")
    parser.add_argument("--task", nargs="+", metavar="NAME", help="default: all that search.py has left a model of")
    parser.add_argument("--model", type=Path, metavar="FILE", help="of the one --task (default: that of search.py)")
    parser.add_argument("--out", type=Path, help="folder for results/ and figures/ (default: writeup/)")
    args = parser.parse_args(arguments)
    out = args.out or (Path(tempfile.mkdtemp(prefix="perplexity-")) if args.quick else common.WRITEUP)
    folder, models = out / "results" / "perplexity", out / "results" / "search" / "models"
    found = {}
    try:
        for name in chosen_tasks(args, models):
            corpora, model = (common.DATA, args.model) if args.model else (models, models / f"{name}{LEFT}")
            if args.quick:
                corpora = folder / "quick"
                make_small(corpora, name, args.model is None)
                model = args.model or corpora / f"{name}.model"
            found[name] = run_task(folder, name, corpora, model, args.quick)
    except (InputError, ImpossibleError, common.RunError) as error:
        print(f"perplexity.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    path = out / "results" / "perplexity.json"
    how = dict(quick=args.quick, draws=QUICK["draws"] if args.quick else DRAWS)
    earlier = common.read_json(path) or {}
    tasks = earlier["tasks"] if all(earlier.get(key) == value for key, value in how.items()) else {}
    tasks = {**tasks, **{name: summarize(of, how["draws"]) for name, of in found.items()}}
    summary = dict(**how, tasks=dict(sorted(tasks.items())))

    def draw_all(folder: Path) -> None:
        for name, of in found.items():
            draw(name, points(of), folder)

    return script.finish("perplexity", out, summary, markdown(summary), draw_all)


def chosen_tasks(args: argparse.Namespace, models: Path) -> list[str]:
    """Those that are asked for, or that search.py has left a model of.

    Raises:
        InputError: there is none, or --model goes with several.
    """
    tasks = args.task or ([QUICK["task"]] if args.quick else [])
    if args.model and len(tasks) != 1:
        raise InputError("--model needs exactly one --task, whose corpora it was trained on")
    if not tasks:
        tasks = sorted(path.name.removesuffix(LEFT) for path in models.glob(f"*{LEFT}"))
    if not tasks:
        raise InputError(f"no model in {models}: run writeup/experiments/search.py first, or say --task and --model")
    return tasks


def make_small(folder: Path, task: str, with_model: bool) -> None:
    """The beginnings of the task's corpora, and, if it is wanted, a tiny model with a network."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (f"{task}sup", f"{task}dev"):
        if not (common.DATA / name).exists():
            raise InputError(f"{common.DATA / name}: no such corpus")
        common.write_text(folder / name, "".join(common.first_lines(common.DATA / name, QUICK["sentences"])))
    header, *rows = common.first_lines(common.LEXICONS / "words-50.txt", QUICK["rows"] + 1)
    common.write_text(folder / "words-50.txt", "".join([f"{len(rows)} {header.split()[1]}\n", *rows]))
    if with_model and not list(folder.glob(f"{task}.model.*.infnet")):
        command = [f"{task}dev", "--model", "crf_blstm", *QUICK_MODEL, f"{task}dev", *QUICK_NETWORK]
        common.run_tag([*command, "--threads", "1"], folder, task)


# Running


class Texts(NamedTuple):
    """Sentences to train language models on, to tune on, and to measure; and where the last are from."""

    train: list[Sentence]
    tune: list[Sentence]
    measured: list[Sentence]
    source: str


def read_texts(task: str, folder: Path) -> Texts:
    """The sentences of a task whose words all have a tag.

    Raises:
        InputError: a corpus is missing, or one of the three parts is empty.
    """

    def tagged(name: str) -> list[Sentence]:
        return [sentence for sentence in read_corpus(folder / name) if None not in sentence.tags]

    parts = ("train", "tune") if (folder / f"{task}train").exists() else ("sup", "dev")  # search.py's, or data/'s
    train, dev = (tagged(task + part) for part in parts)
    if (folder / f"{task}test").exists():
        texts = Texts(train, dev, tagged(f"{task}test"), f"all of {task}test")
    else:
        texts = Texts(train, dev[::2], dev[1::2], f"the odd ones of {task}dev")
    if not all(texts[:3]):
        raise InputError(
            f"{folder / task}{', '.join(parts)}, test: too little text to train on, to tune on or to measure"
        )
    return texts


def digest(*corpora: Sequence[Sentence]) -> str:
    """A hash that tells these sentences from others."""
    return hashlib.sha256("\n\n".join("\n".join(map(str, corpus)) for corpus in corpora).encode()).hexdigest()[:16]


def once(path: Path, settings: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is in the file, if it was made with these settings; else it is made, and put there."""
    result = common.read_json(path)
    if result is None or result.get("settings") != settings:
        result = dict(settings=settings, machine=common.machine(torch.get_num_threads()), **make())
        common.write_json(path, result)
    return result


def run_task(folder: Path, task: str, corpora: Path, model: Path, quick: bool) -> dict[str, Any]:
    """The results of a task, those that are not there made first.

    Raises:
        InputError: there is no model, or no network of it.
    """
    if not model.exists():
        raise InputError(f"{model}: no such model: run writeup/experiments/search.py first (or say --model FILE)")
    tagger = Tagger.load(model)
    networks = load_networks(model, tagger)
    texts = read_texts(task, corpora)
    settings = language.Settings(epochs=2, hidden=8) if quick else language.Settings()
    models = {}
    for name in ("words", "tags"):
        key = dict(language_model=name, texts=digest(*texts[:3]), **asdict(settings))
        make = partial(measure_language, name, texts, settings, f"{task}: {name}")
        models[name] = once(folder / f"{task}-{name}.json", key, make)
    ways = search(folder, task, tagger, networks, texts)
    lengths = [len(sentence) for sentence in texts.measured]
    return dict(source=texts.source, lengths=lengths, language_models=models, ways=ways)


def load_networks(model: Path, tagger: Tagger) -> dict[str, LocalTagger]:
    """The inference networks beside a model, by their settings. Raises InputError if there is none."""
    mark, networks = fingerprint(tagger), {}
    for path in sorted(model.parent.glob(f"{model.name}.*.infnet")):
        network = load(path, tagger, mark)
        # joint training leaves an energy of its own, which this model's is not
        if network is not None and network.more["infnet"]["objective"] != "joint":
            networks[path.name[len(model.name) + 1 : -len(".infnet")]] = network
    if not networks:
        raise InputError(f"{model}: no inference network of it beside it: run writeup/experiments/search.py first")
    return networks


def measure_language(name: str, texts: Texts, settings: language.Settings, what: str) -> dict[str, Any]:
    """A language model of the words or of the tags: log p of each sentence that is measured, and how it was trained."""
    train, tune, measured = ([getattr(sentence, name) for sentence in part] for part in texts[:3])
    sequences = language.Sequences(train, settings.least)
    watched, wanted = sequences.integerize(tune), sequences.integerize(measured)
    model, epochs = language.train(sequences, watched, settings, what)
    return dict(
        symbols=len(sequences.symbols), unknown=sequences.unknown(wanted), epochs=epochs,
        tuning_perplexity=language.perplexity(language.log_probabilities(model, watched), watched.lengths),
        log_p=language.log_probabilities(model, wanted).tolist(),
    )  # fmt: skip


def search(
    folder: Path, task: str, tagger: Tagger, networks: Mapping[str, LocalTagger], texts: Texts
) -> dict[str, dict[str, Any]]:
    """The search errors of each way, by its name."""
    problems: dict[str, searching.Problems] = {}  # made when first needed

    def of(part: str) -> searching.Problems:
        if part not in problems:
            problems[part] = searching.Problems(tagger, getattr(texts, part))
        return problems[part]

    def descend() -> dict[str, Any]:
        step = searching.tuned_step(of("tune"), STEPS, ITERATIONS)
        return dict(step=step, errors=of("measured").errors(searching.gradient_descent(step, ITERATIONS)))

    def simply(way: searching.Way) -> Callable[[], dict[str, Any]]:
        return lambda: dict(errors=of("measured").errors(way))

    wanted: dict[str, tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = {
        name: (dict(network=fingerprint(network)), simply(searching.network(tagger, network)))
        for name, network in networks.items()
    }
    wanted["gradient_descent"] = (dict(steps=list(STEPS), iterations=ITERATIONS), descend)
    wanted["mean_field"] = ({}, simply(searching.mean_field(tagger)))
    for width in WIDTHS:
        wanted[f"beam-{width}"] = (dict(width=width), simply(searching.beam_search(tagger, width)))
    shared = dict(model=fingerprint(tagger), texts=digest(*texts[1:3]))
    return {
        name: once(folder / f"{task}-{name}.json", dict(way=name, **shared, **settings), make)
        for name, (settings, make) in tqdm(wanted.items(), desc=f"{task}: search", unit=" ways")
    }


if __name__ == "__main__":
    sys.exit(main())
