import os
import shutil
import time
from datetime import UTC, datetime

from runs import recorded

from cot.image import load_image
from cot.trace.event import RunStarted
from cot.trace.prune import prune, what_to_prune
from cot.trace.read import read
from cot.trace.record import Recorder

STARTED = RunStarted(question="?", images=(), strategy="direct", seed=0)


def aged(trace_dir, day, **options):
    """A run that began on a day of January 2026."""
    folder = recorded(trace_dir, **options).parent
    return folder.rename(trace_dir / f"202601{day:02}-120000-{folder.name[-8:]}")


def runs(trace_dir):
    return sorted(path for path in trace_dir.iterdir() if path.name != "images")


def size(*folders):
    """Bytes of all files, each once."""
    files = (path.stat() for folder in folders for path in folder.rglob("*") if path.is_file())
    return sum({status.st_ino: status.st_size for status in files}.values())


def test_old_runs_go_whole(tmp_path):
    old, new = aged(tmp_path, 1), aged(tmp_path, 3)
    freed = (old / "trace.jsonl").stat().st_size
    removals = what_to_prune(tmp_path, older_than=datetime(2026, 1, 2, tzinfo=UTC))
    assert [(removal.folder, removal.bytes, removal.whole) for removal in removals] == [(old, freed, True)]
    assert old.exists()
    assert prune(tmp_path, removals) == freed
    assert runs(tmp_path) == [new]
    trace = read(new)
    assert load_image(trace.image_path(trace.started.images[0])).sha256 == trace.started.images[0].sha256


def test_the_oldest_go_until_the_rest_fits(tmp_path):
    folders = [aged(tmp_path, day) for day in (1, 2, 3)]
    most = size(folders[1], folders[2])
    assert [removal.folder for removal in what_to_prune(tmp_path, max_bytes=most)] == [folders[0]]
    assert [removal.folder for removal in what_to_prune(tmp_path, max_bytes=most - 1)] == folders[:2]
    everything = what_to_prune(tmp_path, max_bytes=0)
    assert [removal.folder for removal in everything] == folders
    # The image is shared: it goes, and is counted, with the last run that shows it.
    traces = [(folder / "trace.jsonl").stat().st_size for folder in folders]
    expected = [*traces[:2], size(folders[2])]
    assert [removal.bytes for removal in everything] == expected
    assert [prune(tmp_path, (removal,)) for removal in everything] == expected
    assert not list(tmp_path.iterdir())


def test_backups_made_of_links_change_nothing(tmp_path):
    traces = tmp_path / "traces"
    folders = [aged(traces, day) for day in (1, 2, 3)]
    bounds = (size(*folders) - 1, size(folders[2]), 0)
    before = [what_to_prune(traces, max_bytes=most) for most in bounds]
    assert [len(removals) for removals in before] == [1, 2, 3]
    for backup in ("one", "two"):
        shutil.copytree(traces, tmp_path / backup, copy_function=os.link)
        assert [what_to_prune(traces, max_bytes=most) for most in bounds] == before


def test_shared_images_of_runs_that_were_deleted_by_hand_go(tmp_path):
    shutil.rmtree(aged(tmp_path, 1))
    (image,) = (tmp_path / "images").iterdir()
    freed = image.stat().st_size
    assert prune(tmp_path, ()) == freed
    assert not image.exists()


def test_a_run_that_is_being_written_stays(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.record(STARTED)
        old = recorder.folder.rename(tmp_path / "20260101-120000-00000000")
        assert what_to_prune(tmp_path, older_than=datetime.now(UTC), max_bytes=0) == ()
    assert [removal.folder for removal in what_to_prune(tmp_path, max_bytes=0)] == [old]


def test_a_folder_that_is_just_made_stays(tmp_path):
    folder = tmp_path / "20260101-120000-00000000"
    folder.mkdir()
    assert what_to_prune(tmp_path, max_bytes=0) == ()
    long_ago = time.time() - 1000
    os.utime(folder, (long_ago, long_ago))
    prune(tmp_path, what_to_prune(tmp_path, max_bytes=0))
    assert not folder.exists()


def test_images_that_nobody_names_go(tmp_path):
    folder = aged(tmp_path, 1)
    stray = folder / "images" / f"{'0' * 64}.png"
    stray.write_bytes(b"x" * 100)
    half = folder / "images" / f"{next((tmp_path / 'images').iterdir()).stem}.0a1b2c3d.part"
    half.write_bytes(b"x" * 10)
    (removal,) = what_to_prune(tmp_path)
    assert (set(removal.files), removal.bytes, removal.whole) == ({stray, half}, 110, False)
    assert prune(tmp_path, (removal,)) == 110
    trace = read(folder)
    assert trace.image_path(trace.started.images[0]).is_file()


def test_nothing_else_is_touched(tmp_path):
    outside = tmp_path / "outside"
    target = aged(outside, 1)
    traces = tmp_path / "traces"
    folder = aged(traces, 1)
    (folder / "notes.txt").write_text("mine")
    (traces / "20260101-120000-ffffffff").symlink_to(target)
    (traces / "photos").mkdir()
    (traces / "photos" / "trace.jsonl").write_text("")
    prune(traces, what_to_prune(traces, max_bytes=0))
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "trace.jsonl").exists()
    assert (target / "trace.jsonl").exists()
    assert (traces / "photos" / "trace.jsonl").exists()
    assert what_to_prune(tmp_path / "nowhere", max_bytes=0) == ()
