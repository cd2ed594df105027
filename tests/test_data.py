"""The shipped corpora: derived as build.py says, well-formed, and with nothing of the test set where students look."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import Sentence, read_corpus, unescape
from eval import STAR, is_span_task, spans

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
BUILD = DATA / "build.py"
TEST_MASTER = ROOT / "grader" / "data" / "en-test.conll"
TAGGED = ("en", "ptb", "ner", "pairs")  # derived from the tagged masters
# Corpora that data/fetch.py can put beside ours have public test sets of their own.
FETCHED = ("ewt", "ewtu", "dep", "depfull", "tw", "wnut", "btc", "sk", "skfull")

needs_test_master = pytest.mark.skipif(
    not TEST_MASTER.exists(), reason="grader/data/en-test.conll is absent: only course staff have the test set"
)


def load_build():
    spec = importlib.util.spec_from_file_location("data_build", BUILD)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


build = load_build()


def run_build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BUILD, *arguments], capture_output=True, text=True, timeout=120)


def tagged_parts() -> list[str]:
    return ["train", "dev", "test"] if TEST_MASTER.exists() else ["train", "dev"]


@pytest.fixture(scope="module")
def masters():
    return build.read_masters(ROOT)


def copy_masters(root: Path) -> None:
    for master in build.MASTERS.values():
        if (ROOT / master).exists():
            (root / master).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / master, root / master)


# Building


def test_building_again_changes_nothing(tmp_path: Path):
    copy_masters(tmp_path)
    result = run_build("--root", tmp_path)
    assert result.returncode == 0, result.stderr
    built = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    derived = built - set(build.MASTERS.values())
    assert {f"data/{prefix}{ending}" for prefix in TAGGED for ending in ("sup", "dev")} < derived
    assert "data/enraw" in derived
    for path in sorted(derived):
        assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes(), f"{path} is not what build.py writes"


@needs_test_master
def test_test_corpora_are_built_for_staff_only(masters, tmp_path: Path):
    build.build(masters, tmp_path)
    made = {path.name for path in (tmp_path / "grader" / "data").iterdir()}
    twins = {f"{prefix}test{suffix}" for prefix in TAGGED for suffix in ("", ".words")}
    assert made == twins
    assert not any("test" in path.name for path in (tmp_path / "data").iterdir())


def test_check_passes_on_what_is_shipped(capsys: pytest.CaptureFixture[str]):
    assert build.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_check_names_what_differs_and_writes_nothing(tmp_path: Path):
    copy_masters(tmp_path)
    masters = build.read_masters(tmp_path)
    build.build(masters, tmp_path)
    (tmp_path / "data" / "nerdev").unlink()
    changed = tmp_path / "data" / "endev"
    changed.write_bytes(changed.read_bytes().replace(b"\n", b"\r\n"))
    before = changed.read_bytes()
    assert sorted(build.differing(masters, tmp_path)) == ["data/endev", "data/nerdev"]
    result = run_build("--check", "--root", tmp_path)
    named = [line for line in result.stderr.splitlines() if line.startswith("data/")]
    assert result.returncode == 1
    assert [line.split(":")[0] for line in named] == ["data/endev", "data/nerdev"]
    assert changed.read_bytes() == before and not (tmp_path / "data" / "nerdev").exists()


def test_without_the_test_master_the_rest_is_built(tmp_path: Path):
    copy_masters(tmp_path)
    shutil.rmtree(tmp_path / "grader", ignore_errors=True)
    result = run_build("--root", tmp_path)
    assert result.returncode == 0
    assert result.stderr.count("\n") == 1 and "grader/data/en-test.conll" in result.stderr
    assert (tmp_path / "data" / "endev").read_bytes() == (DATA / "endev").read_bytes()
    assert not (tmp_path / "grader").exists()


DOC = "# doc = d1\tnews\tA title\n"
MALFORMED = {
    "a column too few": (DOC + "A\tDT\tO\nman\tNN\n\n", ":3: 2 columns"),
    "a column too many": (DOC + "A\tDT\tO\tO\n\n", ":2: 4 columns"),
    "a blank in a word": (DOC + "A man\tNN\tO\n\n", ":2: an empty column or one with a blank"),
    "an empty tag": (DOC + "A\t\tO\n\n", ":2: an empty column"),
    "I after O": (DOC + "A\tDT\tO\nOslo\tNNP\tI-LOC\n\n", ":3: I-LOC does not continue"),
    "I after another type": (DOC + "Ann\tNNP\tB-PER\nOslo\tNNP\tI-LOC\n\n", ":3: I-LOC does not continue"),
    "I at a start": (DOC + "Ann\tNNP\tB-PER\n\nOslo\tNNP\tI-PER\n\n", ":4: I-PER does not continue"),
    "an unknown prefix": (DOC + "Oslo\tNNP\tS-LOC\n\n", ":2: unknown entity label 'S-LOC'"),
    "an unknown type": (DOC + "Oslo\tNNP\tB-CITY\n\n", ":2: unknown entity label 'B-CITY'"),
    "a document inside a sentence": (DOC + "A\tDT\tO\n" + DOC, ":3: a document starts inside a sentence"),
    "no sentence": (DOC + "\n", ": no sentence"),
    "bytes that are no UTF-8": (DOC.encode() + b"caf\xe9\tNN\tO\n\n", ":2: not UTF-8"),
}


def write_small_masters(root: Path) -> None:
    (root / "data").mkdir()
    (root / "data" / "en-train.conll").write_text(DOC + "Ann\tNNP\tB-PER\nran\tVBD\tO\n", encoding="utf-8")
    (root / "data" / "en-dev.conll").write_text(DOC + "She\tPRP\tO\n\n", encoding="utf-8")
    (root / "data" / "en-raw.txt").write_text(DOC + "It rained .\n", encoding="utf-8")


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_masters_give_one_line_and_no_file(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    content, message = MALFORMED[case]
    write_small_masters(tmp_path)
    path = tmp_path / "data" / "en-dev.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert build.main(["--root", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{path}{message}" in error
    assert len(list((tmp_path / "data").iterdir())) == 3


@pytest.mark.parametrize("case", ["I after O", "a column too few", "an unknown prefix"])
def test_malformed_masters_as_the_user_sees_them(case: str, tmp_path: Path):
    content, message = MALFORMED[case]
    write_small_masters(tmp_path)
    path = tmp_path / "data" / "en-train.conll"
    path.write_text(content, encoding="utf-8")
    result = run_build("--root", tmp_path)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and f"{path}{message}" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("It  rained .\n", ":1: malformed token"),
        (DOC + "It rained . \n", ":2: malformed token"),
        (DOC, ": no sentence"),
    ],
)
def test_malformed_raw_master(content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_small_masters(tmp_path)
    path = tmp_path / "data" / "en-raw.txt"
    path.write_text(content, encoding="utf-8")
    assert build.main(["--root", str(tmp_path)]) == 2
    assert f"{path}{message}" in capsys.readouterr().err


def test_missing_master(tmp_path: Path):
    result = run_build("--root", tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "en-train.conll: No such file" in result.stderr


def test_masters_may_lack_the_last_newline_or_have_windows_ones(tmp_path: Path):
    write_small_masters(tmp_path)
    path = tmp_path / "data" / "en-dev.conll"
    text = DOC + "1/2\tCD\tO\n\n\nAnn\tNNP\tB-PER\nLee\tNNP\tI-PER"
    path.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert build.main(["--root", str(tmp_path)]) == 0
    assert (tmp_path / "data" / "nerdev").read_bytes() == b"1&slash;2/O\nAnn/B-PER Lee/E-PER\n"
    assert read_corpus(tmp_path / "data" / "endev")[0] == Sentence(("1/2",), ("C",))


# What is in the corpora


def test_tag_counts(masters):
    penn = {tag for part in masters.tagged.values() for sentence in part for tag in sentence.penn}
    train = {tag for sentence in read_corpus(DATA / "ptbsup") for tag in sentence.tags}
    coarse = {tag for sentence in read_corpus(DATA / "ensup") for tag in sentence.tags}
    assert len(penn) == 44 and train == penn
    assert len(coarse) == 24
    assert {"''", "``", ",", "$", "-LRB-", "-RRB-", ".", ":", "N", "V"} < coarse


@pytest.mark.parametrize("part", tagged_parts())
def test_derived_corpora_have_the_masters_words_and_tags(part: str, masters):
    folder = ROOT / "grader" / "data" if part == "test" else DATA
    layers = [read_corpus(folder / f"{prefix}{build.ENDINGS[part]}") for prefix in ("en", "ptb", "ner")]
    sentences = masters.tagged[part]
    assert [len(layer) for layer in layers] == [len(sentences)] * 3
    for sentence, coarse, penn, entities in zip(sentences, *layers):
        assert coarse.words == penn.words == entities.words == sentence.words
        assert penn.tags == sentence.penn
        for short, tag in zip(coarse.tags, penn.tags):
            assert short == (tag[0] if "A" <= tag[0] <= "Z" else tag)


def bio_from_spans(labels: tuple[str, ...]) -> list[str]:
    """BIO labels of the spans that other labels mark."""
    bio = ["O"] * len(labels)
    for kind, start, end in spans(labels):
        bio[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return bio


def is_well_formed(labels: tuple[str, ...]) -> bool:
    """BIOES: after B or I comes I or E of the same type, and I and E come nowhere else."""
    for before, after in zip(("O", *labels), (*labels, "O")):
        goes_on = before[0] in "BI"
        if goes_on != (after[0] in "IE") or (goes_on and before[2:] != after[2:]):
            return False
    return True


@pytest.mark.parametrize("part", tagged_parts())
def test_entities_are_well_formed_and_give_the_masters_back(part: str, masters):
    folder = ROOT / "grader" / "data" if part == "test" else DATA
    sentences = read_corpus(folder / f"ner{build.ENDINGS[part]}")
    assert is_span_task({tag for sentence in sentences for tag in sentence.tags})
    for sentence, master in zip(sentences, masters.tagged[part]):
        assert is_well_formed(sentence.tags), str(sentence)
        assert bio_from_spans(sentence.tags) == list(master.bio)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["O", "PER", "LOC"]), st.integers(1, 4)), min_size=1))
def test_bioes_round_trip_for_any_bio(chunks: list[tuple[str, int]]):
    bio: list[str] = []
    for kind, length in chunks:
        bio.extend(["O"] * length if kind == "O" else [f"B-{kind}"] + [f"I-{kind}"] * (length - 1))
    labels = build.bioes(bio)
    assert is_well_formed(labels)
    assert bio_from_spans(labels) == bio


def pair_labels(penn: tuple[str, ...]) -> list[str]:
    return [("BOS" if i == 0 else penn[i - 1]) + "+" + penn[i] for i in range(len(penn))]


def training_pairs() -> Counter[str]:
    return Counter(label for sentence in read_corpus(DATA / "ptbsup") for label in pair_labels(sentence.tags))


@pytest.mark.parametrize("part", tagged_parts())
def test_pairs_are_those_of_the_penn_tags_and_the_rest_stars(part: str):
    folder = ROOT / "grader" / "data" if part == "test" else DATA
    frequency = training_pairs()
    by_rank = sorted(sorted(frequency), key=frequency.get, reverse=True)  # a stable sort: ties by name
    kept = by_rank[:400]
    sentences = read_corpus(folder / f"pairs{build.ENDINGS[part]}")
    twins = read_corpus(folder / f"ptb{build.ENDINGS[part]}")
    assert len(sentences) == len(twins)
    for sentence, twin in zip(sentences, twins):
        expected = [label if label in kept else STAR for label in pair_labels(twin.tags)]
        assert sentence.words == twin.words and list(sentence.tags) == expected
    if part == "train":
        assert frequency[kept[-1]] == frequency[by_rank[400]], "there is no tie to break"
        assert {tag for sentence in sentences for tag in sentence.tags} == {*kept, STAR}


def test_pairs_of_a_small_corpus(tmp_path: Path):
    """One sentence of training: each pair once, so that all are kept, and a new pair of the development set is not."""
    write_small_masters(tmp_path)
    assert build.main(["--root", str(tmp_path)]) == 0
    assert (tmp_path / "data" / "pairssup").read_text(encoding="utf-8") == "Ann/BOS+NNP ran/NNP+VBD\n"
    assert (tmp_path / "data" / "pairsdev").read_text(encoding="utf-8") == "She/*\n"


def test_figures_of_the_pairs():
    frequency = training_pairs()
    covered = sum(count for _, count in frequency.most_common(400)) / frequency.total()
    stars = Counter(tag == STAR for sentence in read_corpus(DATA / "pairsdev") for tag in sentence.tags)
    assert (len(frequency), f"{covered:.1%}", f"{stars[True] / stars.total():.1%}") == (1045, "95.7%", "4.4%")
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for figure in ("1,045 pairs", "95.7 % of the tokens", "4.4 % of the tokens of `pairsdev`"):
        assert figure in readme


def test_raw_corpus_is_the_raw_master():
    lines = (DATA / "en-raw.txt").read_text(encoding="utf-8").splitlines()
    expected = [tuple(line.split(" ")) for line in lines if not line.startswith("# doc = ")]
    sentences = read_corpus(DATA / "enraw", untagged=True)
    assert [sentence.words for sentence in sentences] == expected
    assert read_corpus(DATA / "enraw") == sentences, "a word of enraw reads as word/TAG"


@needs_test_master
@pytest.mark.parametrize("prefix", TAGGED)
def test_words_are_the_test_corpus_without_tags(prefix: str):
    tagged = read_corpus(TEST_MASTER.parent / f"{prefix}test")
    words = read_corpus(TEST_MASTER.parent / f"{prefix}test.words", untagged=True)
    assert [sentence.words for sentence in words] == [sentence.words for sentence in tagged]
    assert {tag for sentence in words for tag in sentence.tags} == {None}


# The test set stays where it is


def word_sequences(path: Path) -> set[tuple[str, ...]]:
    """Everything in a file that could be read as a sentence: lines of words, of word/TAG, and blocks of columns."""
    found: set[tuple[str, ...]] = set()
    columns: list[list[str]] = []
    for line in [*path.read_bytes().decode("utf-8-sig", errors="replace").splitlines(), ""]:
        tokens = line.split()
        found.add(tuple(unescape(token) for token in tokens))
        found.add(tuple(unescape(token.rpartition("/")[0] or token) for token in tokens))
        if "\t" in line and not line.startswith("# "):  # `# doc = ...` has tabs too
            columns.append(line.split("\t"))
        elif columns:
            found.add(tuple(row[0] for row in columns))
            found.add(tuple(row[1] for row in columns))  # CoNLL-U numbers its tokens
            columns = []
    return found


def hidden_sentences() -> set[tuple[str, ...]]:
    """Test sentences of four tokens or more; shorter ones (`Rain .`) may well be written twice."""
    return {sentence.words for sentence in build.read_tagged(TEST_MASTER)[0] if len(sentence.words) >= 4}


def data_files() -> list[Path]:
    files = [path for path in sorted(DATA.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    assert {"en-train.conll", "endev", "enraw", "README.md"} <= {path.name for path in files}
    return files


@needs_test_master
def test_no_test_sentence_is_under_data():
    hidden = hidden_sentences()
    assert len(hidden) > 500
    for path in data_files():
        leaked = hidden & word_sequences(path)
        assert not leaked, f"{path.name} has test sentences, {' '.join(min(leaked))!r} for one"


@needs_test_master
@pytest.mark.parametrize("name", ["en-test.conll", "entest", "ptbtest", "nertest", "pairstest", "entest.words"])
def test_the_search_for_test_sentences_would_find_them(name: str):
    assert hidden_sentences() <= word_sequences(TEST_MASTER.parent / name)


def test_no_test_set_is_under_data():
    fetched = {f"{prefix}test" for prefix in FETCHED}
    assert not [path.name for path in data_files() if "test" in path.name and path.name not in fetched]


# The data statement


def test_readme_has_the_table_of_sizes():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- BEGIN STATS -->\n")[2].partition("\n<!-- END STATS -->")[0].splitlines()
    printed = run_build("--stats").stdout.splitlines()
    if not TEST_MASTER.exists():
        shown = [row for row in shown if "`en-test.conll`" not in row]
    assert printed == shown and len(printed) >= 5


@pytest.mark.parametrize(
    ("prefix", "baseline", "ambiguous"), [("en", "92.6", "19.5"), ("ptb", "86.1", "25.7"), ("pairs", "34.6", None)]
)
def test_figures_of_the_data_statement(prefix: str, baseline: str, ambiguous: str):
    tags_of_word: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in read_corpus(DATA / f"{prefix}sup"):
        for word, tag in zip(sentence.words, sentence.tags):
            tags_of_word[word][tag] += 1
    commonest = sum(tags_of_word.values(), Counter()).most_common(1)[0][0]
    tokens = [pair for sentence in read_corpus(DATA / f"{prefix}dev") for pair in zip(sentence.words, sentence.tags)]
    tagged = [tags_of_word[w].most_common(1)[0][0] if w in tags_of_word else commonest for w, _ in tokens]
    right = sum(tag == gold != STAR for tag, (_, gold) in zip(tagged, tokens))
    several = sum(w in tags_of_word and len(tags_of_word[w]) > 1 for w, _ in tokens)
    measured = (f"{100 * right / len(tokens):.1f}", f"{100 * several / len(tokens):.1f}")
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for expected, found in zip((baseline, ambiguous), measured):
        if expected is not None:
            assert expected == found and f"{expected} %" in readme


@needs_test_master
def test_tags_that_development_and_test_lack(masters):
    coarse = {part: {tag for s in masters.tagged[part] for tag in build.coarse(s.penn)} for part in masters.tagged}
    assert coarse["train"] - coarse["dev"] == coarse["train"] - coarse["test"] == {"F", "S"}


def test_help_teaches():
    result = run_build("--help")
    assert result.returncode == 0
    for word in ("--check", "--stats", "ptbsup", "FAMILIES", "Exit status"):
        assert word in result.stdout
