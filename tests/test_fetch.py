"""data/fetch.py: sources from folders, archives, checkouts and git, checked; conversions; and the real corpora, where a
copy of their sources lies beside the project. The small inputs here were written for these tests."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from corpus import read_corpus

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
DATASETS = ROOT.parent / "shared" / "datasets"
sys.path.insert(0, str(DATA))

import converters  # noqa: E402
import fetch  # noqa: E402
import sources  # noqa: E402
from sources import FetchError, Source, SourceFiles  # noqa: E402

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
needs_datasets = pytest.mark.skipif(
    not (DATASETS / "sources").is_dir(), reason="../shared/datasets/sources, a copy of the corpora's sources, is absent"
)


def run_fetch(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DATA / "fetch.py", *arguments],
        capture_output=True, encoding="utf-8", timeout=300, env={**os.environ, "PYTHONUTF8": "1", **environment},
    )  # fmt: skip


def conllu(*rows: str) -> str:
    """A CoNLL-U sentence from rows `id form upos xpos head relation`."""
    columns = [row.split(" ") for row in rows]
    return "".join(f"{i}\t{form}\t_\t{u}\t{x}\t_\t{h}\t{rel}\t_\t_\n" for i, form, u, x, h, rel in columns) + "\n"


# Converters


SHE_READS = (
    "# sent_id = 1\n# text = She doesn't read 1/2 (today) .\n"
    + conllu(
        "1 She PRON PRP 4 nsubj", "2-3 doesn't _ _ _ _", "2 does AUX VBZ 4 aux", "3 n't PART RB 4 advmod",
        "4 read VERB VB 0 root", "4.1 it PRON PRP _ _", "5 1/2 NUM CD 4 obj", "6 ( PUNCT -LRB- 7 punct",
        "7 today NOUN NN 4 obl:tmod", "8 ) PUNCT -RRB- 7 punct", "9 . PUNCT . 4 punct",
    )
)  # fmt: skip


def ewt(name: str, train: str, rest: str = SHE_READS) -> dict[str, list[str]]:
    converter = converters.CONVERTERS[name]
    files = {f"en_ewt-ud-{part}.conllu": rest.encode() for part in ("dev", "test")}
    made = converters.convert(converter, files | {"en_ewt-ud-train.conllu": train.encode()})
    return {file: converters.render(sentences).decode().splitlines() for file, sentences in made.items()}


def test_ewt_has_both_tag_sets_of_the_syntactic_words():
    made = ewt("ewt", SHE_READS + conllu("1 Yes INTJ UH 0 root"))
    assert list(made) == ["ewtsup", "ewtdev", "ewttest", "ewtusup", "ewtudev", "ewtutest"]
    tagged = "She/PRP does/VBZ n't/RB read/VB 1&slash;2/CD (/-LRB- today/NN )/-RRB- ./."
    assert made["ewtsup"] == [tagged, "Yes/UH"]
    assert made["ewtdev"] == made["ewttest"] == [tagged]
    assert made["ewtutest"] == ["She/PRON does/AUX n't/PART read/VERB 1&slash;2/NUM (/PUNCT today/NOUN )/PUNCT ./PUNCT"]


def test_white_space_in_a_word_and_a_word_without_characters():
    assert converters.token("1 000\u00a0000", "CD") == "1_000_000/CD"
    assert converters.token("", "O") == converters.token("\u2003", "O") == "_/O"
    assert converters.token("a/b", "x/y") == "a&slash;b/x&slash;y"


def test_supertags_tell_place_and_arguments():
    made = ewt("ewtdep", SHE_READS)
    tags = [token.rpartition("/")[2] for token in made["depfullsup"][0].split(" ")]
    assert tags == [
        "nsubj>", "aux>", "advmod>", "root:nsubj_obj+L+R", "obj<", "punct>", "obl.tmod<", "punct<", "punct<",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "number", "label"),
    [
        (("1 a X X 2 csubj:pass", "2 b X X 0 root"), 2, "root:csubj_"),
        (("1 a X X 0 root", "2 b X X 1 obj", "3 c X X 1 xcomp"), 1, "root:_obj-xcomp"),
        (("1 a X X 3 obj", "2 b X X 3 nsubj", "3 c X X 0 root"), 3, "root:obj-nsubj_"),
        (("1 a X X 2 punct", "2 b X X 0 root", "3 c X X 2 punct"), 2, "root"),
        (("1 a X X 0 root", "2 b X X 1 acl:relcl", "3 c X X 2 obl"), 2, "acl.relcl<+R"),
        (
            tuple(f"{i} w X X 10 det" for i in range(1, 10)) + ("10 w X X 0 root", "11 w X X 10 iobj"),
            10,
            "root:_iobj+L",
        ),
    ],
)
def test_label_of_one_word(rows: tuple[str, ...], number: int, label: str):
    (sentence,) = converters.read_conllu(conllu(*rows).encode(), "made up")
    assert converters.supertags(sentence)[number - 1] == label


def test_limited_tags_are_the_commonest_of_training_with_ties_in_alphabetical_order():
    tagged = {
        "sup": [(list("vwxyz"), ["C", "B", "A", "B", "D"])],
        "dev": [(list("xyz"), ["A", "D", "E"])],
    }
    assert converters.limit(tagged, size=2) == {
        "sup": [(list("vwxyz"), ["*", "B", "A", "B", "*"])],
        "dev": [(list("xyz"), ["A", "*", "*"])],
    }


def test_limited_corpora_keep_400_tags():
    rows = [f"{number} w X X 0 r{number:03}" for number in range(450, 0, -1)]
    made = ewt("ewtdep", conllu(*rows) + conllu(*rows[:10]))
    labels = {file: {token.rpartition("/")[2] for line in made[file] for token in line.split(" ")} for file in made}
    assert len(labels["depfullsup"]) == 450
    expected = {f"r{number:03}" for number in [*range(441, 451), *range(1, 391)]}  # the commonest, then by alphabet
    assert labels["depsup"] == expected | {"*"} and len(expected) == 400
    assert labels["depdev"] == {"*"}


def test_tweets_keep_their_hashtags_and_training_is_two_files():
    files = {
        "oct27.splits/oct27.dev": b"lol\t!\n\n", "oct27.splits/oct27.train": b"#rain\t#\nagain\tR\n\n\n@ann\t@\n",
        "oct27.splits/oct27.test": b"w/\tP\r\nyou\tO\r\n\r\n", "daily547.conll": b":)\tE\n",
    }  # fmt: skip
    made = converters.convert(converters.CONVERTERS["twpos"], files)
    assert {name: converters.render(sentences) for name, sentences in made.items()} == {
        "twsup": b"#rain/# again/R\n@ann/@\nlol/!\n",
        "twdev": b"w&slash;/P you/O\n",
        "twtest": b":)/E\n",
    }


@pytest.mark.parametrize(
    ("bio", "expected"),
    [
        ("B-x", "S-x"),
        ("B-x I-x O B-x", "B-x E-x O S-x"),
        ("B-x I-x I-x B-x I-x", "B-x I-x E-x B-x E-x"),
        ("B-x B-y I-y", "S-x B-y E-y"),
        ("O I-x I-x", "O B-x E-x"),
        ("B-x I-y", "S-x S-y"),
        ("O O", "O O"),
        ("B-creative-work I-creative-work", "B-creative-work E-creative-work"),
    ],
)
def test_bioes(bio: str, expected: str):
    assert " ".join(converters.bioes([["w", tag] for tag in bio.split(" ")])) == expected


@pytest.mark.parametrize(
    ("name", "paths", "prefix"),
    [
        ("wnut", ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"), "wnut"),
        ("nerbtc", ("f/btc.train", "f/btc.dev", "f/btc.test"), "btc"),
    ],
)
def test_entities(name: str, paths: tuple[str, str, str], prefix: str):
    train, dev, test = paths
    files = {
        test: b"Oslo\tB-location\n",
        train: b"Ann\tB-person\nLee\tI-person\nsaw\tO\n\t\n\tO\nOslo\tB-location\n\n \nHm\tO\n",
        dev: b"#1\tO\n",
    }
    made = converters.convert(converters.CONVERTERS[name], files)
    assert {file: converters.render(sentences) for file, sentences in made.items()} == {
        f"{prefix}sup": b"Ann/B-person Lee/E-person saw/O\n_/O Oslo/S-location\nHm/O\n",
        f"{prefix}dev": b"#1/O\n",
        f"{prefix}test": b"Oslo/S-location\n",
    }


def test_slovak_documents_go_to_the_parts_by_twenties_in_order_of_name():
    names = [f"a1/{number:02}.conllu" for number in range(1, 42)]
    files = {
        name: conllu(f"1 dom{name[3:5]} NOUN SSis1 0 root", f"2 . PUNCT {'ZIP' if i % 2 else 'Z'} 1 punct").encode()
        for i, name in enumerate(names)
    }
    made = converters.convert(converters.CONVERTERS["skmorph"], dict(reversed(files.items())))
    lines = {name: converters.render(sentences).decode().splitlines() for name, sentences in made.items()}
    assert lines["skfulldev"] == ["dom10/SSis1 ./Z", "dom30/SSis1 ./Z"]
    assert lines["skfulltest"] == ["dom20/SSis1 ./Z", "dom40/SSis1 ./Z"]
    assert len(lines["skfullsup"]) == 37 and lines["skfullsup"][-1] == "dom41/SSis1 ./Z"
    assert lines["sksup"] == lines["skfullsup"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tO\n\nb\n", "btc.dev:3: 1 columns instead of 2"),
        (b"a\tO\tO\n", "btc.dev:1: 3 columns instead of 2"),
        (b"a\tO\ncaf\xe9\tO\n", "btc.dev:2: not UTF-8"),
    ],
)
def test_malformed_sources_are_named(content: bytes, message: str):
    files = {"btc.train": b"a\tO\n", "btc.test": b"a\tO\n", "btc.dev": content}
    with pytest.raises(converters.SourceError, match=message):
        converters.convert(converters.CONVERTERS["nerbtc"], files)


def test_progress_is_told_of_every_byte():
    files = {"btc.train": b"a\tO\n", "btc.test": b"abc\tO\n", "btc.dev": b"ab\tO\n"}
    told: list[int] = []
    converters.convert(converters.CONVERTERS["nerbtc"], files, told.append)
    assert sorted(told) == [4, 5, 6]


# A made-up corpus, in place of wnut, that goes all the way


FILES = {
    "wnut17train.conll": b"Ann\tB-person\nLee\tI-person\nran\tO\n\nOslo\tB-location\n\n",
    "emerging.dev.conll": b"Rain\tO\n\n",
    "emerging.test.annotated": b"Bo\tB-person\n\n",
}
CORPORA = {
    "wnutsup": b"Ann/B-person Lee/E-person ran/O\nOslo/S-location\n",
    "wnutdev": b"Rain/O\n",
    "wnuttest": b"Bo/S-person\n",
}
COMMIT = "0123456789" * 4


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def small_source(commit: str = COMMIT) -> Source:
    lines = [
        SourceFiles("wnut", "some/corpus", commit, path, 1, len(FILES[path]), sha256(FILES[path])) for path in FILES
    ]
    return Source("some/corpus", commit, tuple(lines))


def write_tables(folder: Path, commit: str = COMMIT) -> None:
    lines = ["corpora\trepository\tcommit\tpath\tfiles\tbytes\tsha256"]
    lines += [
        f"wnut\tsome/corpus\t{commit}\t{path}\t1\t{len(content)}\t{sha256(content)}" for path, content in FILES.items()
    ]
    (folder / "sources.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lines = ["corpus\tfile\tsentences\ttokens\ttags\tbytes\tsha256"]
    lines += [f"wnut\t{name}\t1\t1\t1\t{len(content)}\t{sha256(content)}" for name, content in CORPORA.items()]
    (folder / "outputs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def write_archive(path: Path, files: dict[str, bytes], folder: str = "some+corpus/") -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tables of a small corpus, which fetch.py then reads instead of its own."""
    (tmp_path / "tables").mkdir()
    write_tables(tmp_path / "tables")
    monkeypatch.setattr(fetch, "TABLES", tmp_path / "tables")
    return tmp_path / "tables"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_from_a_folder_to_corpora_and_then_nothing_to_do(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_files(tmp_path / "copy" / "corpus", FILES)
    out = tmp_path / "out"
    assert fetch.main(["wnut", "--from", str(tmp_path / "copy"), "--to", str(out)]) == 0
    assert contents(out) == CORPORA
    told = capsys.readouterr().out
    assert told.startswith("wnut: wrote wnutsup wnutdev wnuttest to")
    assert "licence: CC BY 4.0" in told and "cite: Leon Derczynski" in told and COMMIT in told
    written = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert fetch.main(["wnut", "--from", str(tmp_path / "nowhere"), "--to", str(out)]) == 0
    told = capsys.readouterr().out
    assert "wnutsup wnutdev wnuttest: here and right already" in told and "licence: CC BY 4.0" in told
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == written


def test_a_corpus_file_that_differs_is_replaced(tables: Path, tmp_path: Path):
    write_files(tmp_path / "copy" / "corpus", FILES)
    out = write_files(tmp_path / "out", {"wnutdev": b"Snow/O\n", "mine": b"a/b\n"})
    assert fetch.main(["wnut", "--from", str(tmp_path / "copy"), "--to", str(out)]) == 0
    assert contents(out) == {**CORPORA, "mine": b"a/b\n"}


@pytest.mark.parametrize("name", ["corpus", "some+corpus"])
def test_local_copies_may_be_folders_or_archives_named_either_way(name: str, tmp_path: Path):
    (tmp_path / "archives").mkdir()
    write_files(tmp_path / "folders" / name, FILES)
    archive = write_archive(tmp_path / "archives" / f"{name}.tar.xz", FILES)
    places = [tmp_path / "folders", tmp_path / "folders" / name, tmp_path / "archives", archive]
    assert [sources.local(place, small_source()) for place in places] == [FILES] * 4


def test_many_files_have_one_checksum(tmp_path: Path):
    files = {f"deep/{name}.conllu": name.encode() for name in ("b", "a", "c-d")}
    listing = "".join(f"{sha256(files[path])}  {path[5:]}\n" for path in sorted(files))
    line = SourceFiles("x", "some/corpus", COMMIT, "deep/*.conllu", 3, 5, sha256(listing.encode()))
    source = Source("some/corpus", COMMIT, (line,))
    write_files(tmp_path / "corpus", {**files, "deep/er/e.conllu": b"e", "deep/README": b"r"})
    assert sources.local(tmp_path, source) == files
    (tmp_path / "corpus/deep/a.conllu").rename(tmp_path / "corpus/deep/z.conllu")
    with pytest.raises(FetchError, match=r"corpus: deep/\*.conllu: SHA-256 is .* not .* as at commit 0123"):
        sources.local(tmp_path, source)
    (tmp_path / "corpus/deep/z.conllu").unlink()
    with pytest.raises(FetchError, match=r"has 2 of the 3 files deep/\*.conllu"):
        sources.local(tmp_path, source)


# What can go wrong


def changed(path: str, content: bytes) -> dict[str, bytes]:
    return {**FILES, path: content}


MISFITS = {
    "a changed byte": (changed("emerging.dev.conll", b"Ruin\tO\n\n"), "corpus: emerging.dev.conll: SHA-256 is"),
    "Windows line ends": (changed("emerging.dev.conll", b"Rain\tO\r\n\r\n"), "corpus: emerging.dev.conll: SHA-256 is"),
    "a file missing": ({"emerging.dev.conll": b"Rain\tO\n\n"}, "corpus: has no wnut17train.conll"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_wrong_sources_give_one_line_and_no_file(
    case: str, tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    files, message = MISFITS[case]
    write_files(tmp_path / "copy" / "corpus", files)
    assert fetch.main(["wnut", "--from", str(tmp_path / "copy"), "--to", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert contents(tmp_path / "out") == {}


def test_a_wrong_conversion_leaves_no_file(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    write_files(tmp_path / "copy" / "corpus", FILES)
    table = tables / "outputs.tsv"
    table.write_text(table.read_text().replace(sha256(CORPORA["wnutdev"]), sha256(b"Snow/O\n")))
    assert fetch.main(["wnut", "--from", str(tmp_path / "copy"), "--to", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "wnut: wnutdev: not what outputs.tsv says; nothing was written" in error
    assert contents(tmp_path / "out") == {}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_files(tmp_path, {"wnutdev": b"old\n"})

    def fail(*names: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        fetch.replace_file(tmp_path / "wnutdev", b"new\n")
    assert contents(tmp_path) == {"wnutdev": b"old\n"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wnt"], "no corpus 'wnt' (there are: ewt ewtdep twpos wnut nerbtc skmorph, and all)"),
        ([], "name what to fetch"),
        (["wnut", "--from", "/nowhere/at/all"], "/nowhere/at/all: no such folder"),
        (["wnut", "--from", str(ROOT / "tests")], "tests: no leondz+emerging_entities_17[.tar.xz] or emerging_ent"),
    ],
)
def test_bad_input_as_the_user_sees_it(arguments: list[str], message: str, tmp_path: Path):
    result = run_fetch(*arguments, "--to", tmp_path / "out")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("fetch.py: ") and message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"no archive at all", None])
def test_an_archive_that_cannot_be_read(content: bytes | None, tmp_path: Path):
    archive = write_archive(tmp_path / "corpus.tar.xz", FILES)
    archive.write_bytes(archive.read_bytes()[:100] if content is None else content)
    with pytest.raises(FetchError, match="corpus.tar.xz: not a tar.xz archive that can be read"):
        sources.local(tmp_path, small_source())


def test_no_path_of_an_archive_leads_anywhere(tmp_path: Path):
    folder = tmp_path / "copy"
    folder.mkdir()
    with tarfile.open(folder / "corpus.tar.xz", "w:xz") as tar:
        for name in ("../escaped", "/tmp/../escaped", "some+corpus/../../escaped", "some+corpus/emerging.dev.conll"):
            member = tarfile.TarInfo(name)
            if name.endswith("conll"):
                member.type, member.linkname = tarfile.SYMTYPE, str(DATA / "endev")
            tar.addfile(member)
    with pytest.raises(FetchError, match="has no wnut17train.conll"):
        sources.local(folder, small_source())
    assert sources.read_archive(folder / "corpus.tar.xz", small_source()) == {}
    assert [path.name for path in tmp_path.rglob("*")] == ["copy", "corpus.tar.xz"]


def test_a_file_of_an_archive_that_is_too_large_is_not_read(tmp_path: Path):
    write_archive(tmp_path / "corpus.tar.xz", changed("emerging.dev.conll", bytes(10_000_000)))
    with pytest.raises(FetchError, match="emerging.dev.conll: 10,000,000 bytes, more than it should have"):
        sources.local(tmp_path, small_source())


# Git


def run_git(folder: Path, *arguments: str) -> str:
    settings = ("user.name=T", "user.email=t@example.org", "commit.gpgsign=false", "core.autocrlf=false")
    options = [part for setting in settings for part in ("-c", setting)]
    command = ["git", "-C", str(folder), *options, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A repository some/corpus that git finds where it seeks GitHub, and the commit with the right files in it."""
    repository = write_files(tmp_path / "host" / "some" / "corpus", {**FILES, "large/other": b"not needed\n"})
    run_git(tmp_path, "init", "--quiet", str(repository))
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        run_git(repository, "config", setting, "true")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "--quiet", "-m", "right")
    commit = run_git(repository, "rev-parse", "HEAD")
    (repository / "emerging.dev.conll").write_bytes(b"Snow\tO\n\n")
    run_git(repository, "commit", "--quiet", "-a", "-m", "later")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{(tmp_path / 'host').as_uri()}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    return repository, commit


@needs_git
def test_download_fetches_the_pinned_commit_and_only_what_is_needed(host: tuple[Path, str], tmp_path: Path):
    (tmp_path / "here").mkdir()
    told: list[int] = []
    sources.download(small_source(host[1]), tmp_path / "here", told.append)
    assert sources.read_folder(tmp_path / "here", small_source(host[1])) == FILES
    assert {path.name for path in (tmp_path / "here").iterdir()} == {".git", *FILES}
    assert sum(told) > 0
    here = subprocess.run(
        ["git", "-C", tmp_path / "here", "rev-list", "--objects", "--missing=print", "--all", host[1]],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    unneeded = run_git(host[0], "rev-parse", f"{host[1]}:large/other")
    assert f"?{unneeded}" in here, "a file that is not needed was downloaded"


@needs_git
def test_the_cache_keeps_downloads_and_is_a_local_copy(
    host: tuple[Path, str], tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_tables(tables, host[1])
    cache = tmp_path / "new" / "cache"
    assert fetch.main(["wnut", "--cache", str(cache), "--to", str(tmp_path / "one")]) == 0
    assert contents(tmp_path / "one") == CORPORA
    assert [path.name for path in cache.iterdir()] == ["some+corpus"]
    monkeypatch.setenv("PATH", "")  # neither git nor a network is needed any more
    assert fetch.main(["wnut", "--cache", str(cache), "--to", str(tmp_path / "two")]) == 0
    assert fetch.main(["wnut", "--from", str(cache), "--to", str(tmp_path / "three")]) == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "three") == CORPORA


@needs_git
def test_downloads_are_removed_without_a_cache(
    host: tuple[Path, str], tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_tables(tables, host[1])
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(fetch.tempfile, "tempdir", str(tmp_path / "temporary"))
    assert fetch.main(["wnut", "--to", str(tmp_path / "out")]) == 0
    assert contents(tmp_path / "out") == CORPORA
    assert contents(tmp_path / "temporary") == {}


@needs_git
def test_a_wrong_cache_says_what_to_remove(host: tuple[Path, str], tmp_path: Path):
    write_files(tmp_path / "cache" / "some+corpus", changed("emerging.dev.conll", b"Ruin\tO\n\n"))
    with pytest.raises(FetchError, match=r"remove it to download again\): emerging.dev.conll: SHA-256"):
        sources.cached(tmp_path / "cache", small_source(host[1]))


@needs_git
def test_a_commit_with_other_files_is_not_kept(host: tuple[Path, str], tmp_path: Path):
    later = run_git(host[0], "rev-parse", "HEAD")
    with pytest.raises(FetchError, match="some/corpus: emerging.dev.conll: SHA-256 is"):
        sources.cached(tmp_path / "cache", small_source(later))
    assert contents(tmp_path / "cache") == {}


@needs_git
def test_a_checkout_is_read_at_the_pinned_commit_whatever_is_checked_out(host: tuple[Path, str], tmp_path: Path):
    repository, commit = host
    assert sources.local(repository.parent, small_source(commit)) == FILES
    (repository / "wnut17train.conll").unlink()
    assert sources.local(repository.parent, small_source(commit)) == FILES
    with pytest.raises(FetchError, match="corpus: has no wnut17train.conll"):
        sources.local(repository.parent, small_source())  # a commit that it does not have
    later = run_git(repository, "rev-parse", "HEAD")
    with pytest.raises(FetchError, match="corpus: emerging.dev.conll: SHA-256 is"):
        sources.local(repository.parent, small_source(later))


@needs_git
def test_no_network(tmp_path: Path):
    unreachable = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'nowhere').as_uri()}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    result = run_fetch("wnut", "--to", tmp_path / "out", "--cache", tmp_path / "cache", "--quiet", **unreachable)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "leondz/emerging_entities_17 cannot be downloaded (git fetch: fatal: " in result.stderr
    assert "is there a network? or see --from" in result.stderr
    assert not (tmp_path / "out").exists() and contents(tmp_path / "cache") == {}


def test_no_git(tmp_path: Path):
    result = run_fetch("wnut", "--to", tmp_path / "out", "--quiet", PATH="")
    assert result.returncode == 2 and not (tmp_path / "out").exists()
    assert result.stderr == "fetch.py: git is not installed; get it from https://git-scm.com, or see --from\n"


# The real corpora


def test_tables_are_complete():
    pinned, outputs = sources.read_sources(DATA / "sources.tsv"), fetch.read_outputs(DATA / "outputs.tsv")
    assert set(pinned) == set(outputs) == set(fetch.ABOUT) == set(converters.CONVERTERS)
    for name, converter in converters.CONVERTERS.items():
        prefixes = [*converter.layers, *converter.limited]
        files = {f"{prefix}{part}" for prefix in prefixes for part in ("sup", "dev", "test")}
        assert {output.file for output in outputs[name]} == files
        assert len({line.commit for line in pinned[name].wanted}) == 1 and len(pinned[name].commit) == 40
    assert pinned["ewt"] == pinned["ewtdep"], "one download serves both"


def test_git_ignores_what_is_fetched():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    patterns = tuple(line.removeprefix("/data/").rstrip("*") for line in ignored if line.startswith("/data/"))
    files = [output.file for outputs in fetch.read_outputs(DATA / "outputs.tsv").values() for output in outputs]
    assert all(file.startswith(patterns) for file in files)


def test_readme_has_every_corpus_with_its_sizes():
    section = (DATA / "README.md").read_text(encoding="utf-8").partition("\n## Fetched corpora\n")[2]
    section = " ".join(section.split())
    for name, outputs in fetch.read_outputs(DATA / "outputs.tsv").items():
        for output in outputs:
            row = f"| `{output.file}` | {output.sentences:,} | {output.tokens:,} | {output.tags:,} |"
            assert row in section, f"{row} is not in data/README.md"
        licence = fetch.ABOUT[name].licence.partition(" (")[0]
        assert f"| `{name}` |" in section and licence in section
        assert all(citation in section for citation in fetch.ABOUT[name].citations)


def test_list_says_what_there_is_and_what_is_here(tmp_path: Path):
    outputs = fetch.read_outputs(DATA / "outputs.tsv")
    (tmp_path / "wnutdev").write_bytes(b"Snow/O\n")
    told = " ".join(fetch.listing(outputs, tmp_path).split())
    assert all(output.file in told for name in outputs for output in outputs[name])
    assert "wnutdev 1,009 sentences 15,733 tokens 25 tags differs" in told
    assert "wnutsup 3,394 sentences 62,730 tokens 25 tags -" in told
    assert told.count("licence: CC BY") == len(fetch.ABOUT)


def test_help_teaches():
    result = run_fetch("--help")
    assert result.returncode == 0
    for word in ("--from", "--cache", "--list", "skfull*", "UD_English-EWT", "SHA-256", "licence", "Exit status"):
        assert word in result.stdout


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fetched")
    result = run_fetch("all", "--from", DATASETS / "sources", "--to", out)
    assert result.returncode == 0, result.stderr
    return out


@needs_datasets
def test_real_sources_give_the_expected_bytes(converted: Path):
    expected = {path.name: path for path in DATASETS.glob("*/*") if path.parent.name in fetch.ABOUT}
    expected.pop("README.md")
    assert {path.name for path in converted.iterdir()} == set(expected) and len(expected) == 27
    for name, path in expected.items():
        assert (converted / name).read_bytes() == path.read_bytes(), f"{name} differs"


@needs_datasets
def test_real_corpora_are_read_as_the_table_says(converted: Path):
    for outputs in fetch.read_outputs(DATA / "outputs.tsv").values():
        for output in outputs:
            sentences = read_corpus(converted / output.file)
            tags = [tag for sentence in sentences for tag in sentence.tags]
            assert (len(sentences), len(tags), len(set(tags))) == (output.sentences, output.tokens, output.tags)
            assert None not in tags
