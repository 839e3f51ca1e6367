"""Half-filled files: who asks for the same goes on, also after SIGKILL; nobody else reads them; they can be evicted."""

from __future__ import annotations

import pytest

from chain_core.errors import RunError
from chain_core.paths import get_folder
from chain_core.storage import partial as module
from chain_core.storage.entries import list_entries, make_room, remove_entry, save_limit, sweep
from chain_core.storage.partial import Abandon, open_partial
from tests.storage.test_entries import start_process


def fill(folder, pieces, *, error=None, plan="plan", names=("a",)):
    """Append pieces to each file; the files as they were found, and how many pieces were said to be done."""
    folder.mkdir(exist_ok=True)
    with open_partial(folder, plan, names, {"backbone": "tiny"}) as partial:
        found = partial.done, [partial.path(name).read_bytes() if partial.done else b"" for name in names]
        for number in range(partial.done, pieces):
            for name in names:
                with partial.path(name).open("ab") as file:
                    file.write(b"%d" % number)
            partial.reach(number + 1)
        if error:
            raise error
        partial.publish(folder)
    return found


@pytest.fixture
def folder(home):
    return get_folder("features") / "key"


def find_left(folder):
    return list(folder.parent.glob("*.partial"))


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_work_goes_on_where_it_was_broken_off(folder, names):
    for pieces in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            fill(folder, pieces, error=KeyboardInterrupt(), names=names)
    assert list(folder.iterdir()) == []
    assert fill(folder, 5, names=names) == (3, [b"012"] * len(names))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == dict.fromkeys(names, b"01234")
    assert find_left(folder) == []


def test_nothing_is_left_of_nothing_or_of_what_is_of_no_use(folder):
    for error, pieces in ((KeyboardInterrupt(), 0), (Abandon(), 2)):
        with pytest.raises(type(error)):
            fill(folder, pieces, error=error)
        assert find_left(folder) == []


def test_a_disk_that_refuses_is_not_asked_for_ever(folder, monkeypatch):
    asked = []

    def refuse(place, patience):
        asked.append(place)
        raise RunError("path_refused" if len(asked) == 1 else "end", path=str(place), reason="closed")

    monkeypatch.setattr(module, "hold_folder", refuse)
    with pytest.raises(RunError, match="closed"):
        fill(folder, 1)
    assert len(asked) == 1
    assert not list(asked[0].iterdir()), "the lease is given back"


def test_each_plan_has_its_own(folder):
    with pytest.raises(KeyboardInterrupt):
        fill(folder, 2, error=KeyboardInterrupt())
    assert fill(folder, 2, plan="other", names=("b",)) == (0, [b""])
    assert len(find_left(folder)) == 1


def test_two_at_once_do_not_share(folder):
    with open_partial(folder, "plan", ["a"], {}) as partial:
        partial.path("a").write_bytes(b"mine")
        assert fill(folder, 3) == (0, [b""])
        assert partial.path("a").read_bytes() == b"mine"


def test_it_is_an_entry_like_any_other(folder):
    with pytest.raises(KeyboardInterrupt):
        fill(folder, 2, error=KeyboardInterrupt())
    [entry] = list_entries()
    assert (entry.meta["backbone"], entry.held) == ("tiny", False)
    sweep()
    assert fill(folder, 2)[0] == 2
    with open_partial(folder, "plan", ["a"], {}):
        [held] = find_left(folder)
        assert not remove_entry(held), "it is being written"
    with pytest.raises(KeyboardInterrupt):
        fill(folder, 2, error=KeyboardInterrupt())
    save_limit(0)
    make_room()
    assert find_left(folder) == []


def test_a_mark_without_its_files_counts_for_nothing(folder):
    with pytest.raises(KeyboardInterrupt):
        fill(folder, 2, error=KeyboardInterrupt())
    [left] = find_left(folder)
    (left / "a").unlink()
    with open_partial(folder, "plan", ["a"], {}) as partial:
        assert partial.done == 0
        assert not (left / module.MARK).exists(), "a crash now would leave a mark of more than there is"


CODE = """
import sys, time
from pathlib import Path
from chain_core.storage import partial as module
from chain_core.storage.partial import open_partial
module.EVERY_SECONDS, module.SHARE = (0, 1e9) if sys.argv[2] == "marked" else (1000, 1)
with open_partial(Path(sys.argv[1]), "plan", ["a"], {}) as partial:
    partial.path("a").write_bytes(b"01")
    partial.reach(2)
    partial.path("a").write_bytes(b"012")  # the third piece, in the midst of it
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("marked", [True, False])
def test_a_killed_writer_leaves_what_its_mark_says(folder, marked):
    process = start_process(CODE, folder, "marked" if marked else "early")
    [left] = find_left(folder)
    sweep()
    assert left.exists(), "a living writer's folder was swept"
    process.kill()
    process.wait()
    if not marked:
        sweep()
        assert not left.exists(), "worth nothing"
    with open_partial(folder, "plan", ["a"], {}) as partial:
        assert partial.done == (2 if marked else 0)
        assert partial.path("a").exists() == marked
