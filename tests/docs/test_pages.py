"""What people read is run: the README, every page of docs/, every example."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PageError, blocks, run_page

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.py")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_runs_as_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run_page(path, tmp_path)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page to be written by a test, with its folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "page.md"


def test_the_blocks_of_a_page_are_one_program(page: Path) -> None:
    page.write_text("```python\nx = 1\n```\ntext\n```python\nassert x == 1\n```\n")
    assert run_page(page, page.parent) == 2


def test_a_failing_block_fails_the_page_at_its_line(page: Path) -> None:
    page.write_text("# Page\n\n```python\nx = 1\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as failure:
        run_page(page, page.parent)
    last = failure.traceback[-1]
    assert (Path(last.path), last.lineno + 1) == (page, 5)


def test_a_titled_block_becomes_a_file(page: Path) -> None:
    page.write_text(
        '```json title="data.json"\n[1]\n```\n'
        "```python\nimport pathlib\nassert pathlib.Path('data.json').read_text() == '[1]\\n'\n```\n"
    )
    assert run_page(page, page.parent) == 1


def test_a_command_must_print_what_the_page_says(page: Path) -> None:
    page.write_text("```console\n$ python -c 'print(1); print(2)'\n1\n...\n```\n")
    assert run_page(page, page.parent) == 1
    page.write_text("```console\n$ python -c 'print(1)'\n2\n```\n")
    with pytest.raises(PageError, match="it printed:\n1"):
        run_page(page, page.parent)


def test_a_failing_command_fails_the_page(page: Path) -> None:
    page.write_text("```console\n$ python -c 'raise SystemExit(3)'\n```\n")
    with pytest.raises(PageError, match=r"page\.md:2: .*\nended with 3"):
        run_page(page, page.parent)


def test_a_background_command_runs_until_the_page_ends(page: Path) -> None:
    program = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(pathlib.Path('ended').touch()))\n"
        "print('ready', file=sys.stderr)\n"
        "signal.pause()\n"
    )
    (page.parent / "serve.py").write_text(program)
    page.write_text(
        "```console\n$ python serve.py &\n```\n"
        "```python\nimport pathlib\n"
        "assert not pathlib.Path('ended').exists()\n```\n"
    )
    assert run_page(page, page.parent) == 2
    assert (page.parent / "ended").exists()


def test_a_background_command_that_ends_by_itself_fails_the_page(page: Path) -> None:
    page.write_text(
        "```console\n$ python -c 'raise SystemExit(4)' &\n```\n"
        # Waits until it has ended, but leaves its result to be collected.
        "```python\nimport os\nos.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)\n```\n"
    )
    with pytest.raises(PageError, match="ended by itself with 4"):
        run_page(page, page.parent)


def test_commands_for_the_reader_are_not_run(page: Path) -> None:
    page.write_text(
        "```console\n$ pip install nothing-of-the-kind\n```\n"
        "```python norun\nraise SystemExit\n```\n"
    )
    assert run_page(page, page.parent) == 0


def test_every_block_of_our_pages_says_its_language() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{block.line - 1}"
        for path in PAGES
        for block in blocks(path)
        if not block.language
    ]
    assert not bare, f"a block without a language is not run by anything: {bare}"
