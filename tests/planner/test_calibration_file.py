from dataclasses import replace

import pytest

from cot.config import load_settings
from cot.engine.scripted import SCRIPTED_INFO
from cot.errors import ConfigError
from cot.planner.calibration_file import MAX_FILE_BYTES, Entry, read_entries, tuning_for, write_entry
from cot.planner.tuning import Tuning

INFO = replace(SCRIPTED_INFO, revision="sha256:aa")


@pytest.fixture
def settings(tmp_path):
    """Settings whose calibration is `calibration.json` in the test's folder."""

    def make(model="m"):
        return load_settings({"model": model, "calibration": tmp_path / "calibration.json"})[0]

    return make


def test_each_model_has_its_own(tmp_path, settings):
    path = tmp_path / "calibration.json"
    path.write_text('{"m": {"keep": 0.9}, "other/model": {"direct_slope": 0.5, "samples": 3}}')
    assert tuning_for(settings(), INFO) == (Tuning(keep=0.9), "")
    assert tuning_for(settings("other/model"), INFO) == (Tuning(direct_slope=0.5, samples=3), "")
    assert tuning_for(settings("unknown"), INFO) == (Tuning(), "")


def test_there_need_not_be_a_file(settings):
    assert tuning_for(settings(), INFO) == (Tuning(), "")


def test_other_weights_do_not_use_it_and_that_is_said(tmp_path, settings):
    write_entry(tmp_path / "calibration.json", "m", Entry(keep=0.9, revision="sha256:aa", quantization="none"))
    assert tuning_for(settings(), INFO) == (Tuning(keep=0.9), "")
    tuning, note = tuning_for(settings(), replace(INFO, revision="sha256:bb"))
    assert tuning == Tuning()
    assert note.endswith("calibration.json is not used: its calibration of m was made with other weights")
    tuning, note = tuning_for(settings(), replace(INFO, quantization="nf4"))
    assert (tuning, "quantisation none, and now it is nf4" in note) == (Tuning(), True)


def test_the_same_weights_use_it_under_another_name(tmp_path, settings):
    write_entry(tmp_path / "calibration.json", "m", Entry(keep=0.9, revision="sha256:aa"))
    assert tuning_for(settings("folder/m"), INFO) == (Tuning(keep=0.9), "")


def test_what_lies_beside_the_weights_is_read_where_the_user_has_none(tmp_path, settings):
    folder = tmp_path / "weights"
    write_entry(folder / "calibration.json", "embedded", Entry(keep=0.8, revision="sha256:aa"))
    assert tuning_for(settings(str(folder)), INFO) == (Tuning(keep=0.8), "")
    assert tuning_for(settings(str(folder)), replace(INFO, revision="sha256:bb")) == (Tuning(), "")
    write_entry(tmp_path / "calibration.json", "mine", Entry(keep=0.9, revision="sha256:aa"))
    assert tuning_for(settings(str(folder)), INFO) == (Tuning(keep=0.9), "")


def test_writing_leaves_other_models_alone(tmp_path):
    path = tmp_path / "new" / "calibration.json"
    assert write_entry(path, "a", Entry(keep=0.1)) is None
    assert write_entry(path, "b", Entry(keep=0.2, measured={"samples": 3})) is None
    assert write_entry(path, "a", Entry(keep=0.3)) == Entry(keep=0.1)
    assert read_entries(path) == {"a": Entry(keep=0.3), "b": Entry(keep=0.2, measured={"samples": 3})}


def test_nothing_is_written_through_a_link_beside_it(tmp_path):
    (tmp_path / "other").write_text("mine")
    (tmp_path / "calibration.json.tmp").symlink_to(tmp_path / "other")
    write_entry(tmp_path / "calibration.json", "a", Entry(keep=0.1))
    assert (tmp_path / "other").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written.*name another file with --out"):
        write_entry(tmp_path / "file" / "calibration.json", "a", Entry())


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"m": 1}', '{"m": {"keep": 2}}', '{"m": {"keep": NaN}}', '{"m": {"kept": 0.5}}', "[" * 100_000]
    + ['{"m": {"samples": 0}}', " " * (MAX_FILE_BYTES + 1)],
)
def test_anything_else_in_the_file_is_refused(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="calibration.json.*expected"):
        read_entries(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="is no file"):
        read_entries(tmp_path)


def test_the_embedded_model_comes_with_a_calibration_of_its_own_weights(settings):
    from cot.engine.local.source import find_source
    from cot.model import CALIBRATION_FILE
    from cot.shipped import weights_folder

    revision = find_source(weights_folder()).revision
    entry = read_entries(weights_folder() / CALIBRATION_FILE)["embedded"]
    assert entry.revision == revision, "run: make calibration"
    assert tuning_for(settings("embedded"), replace(INFO, revision=revision)) == (entry.tuning, "")
