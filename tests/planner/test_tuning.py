import pytest

from cot.errors import ConfigError
from cot.planner.tuning import MAX_FILE_BYTES, Tuning, load_tuning


def test_each_model_has_its_own(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text('{"embedded": {"keep": 0.9}, "other/model": {"accept": 0.1, "samples": 3}}')
    assert load_tuning(path, "embedded") == Tuning(keep=0.9)
    assert load_tuning(path, "other/model") == Tuning(accept=0.1, samples=3)
    assert load_tuning(path, "unknown") == Tuning()


def test_there_need_not_be_a_file(tmp_path):
    assert load_tuning(tmp_path / "none.json", "embedded") == Tuning()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"m": 1}', '{"m": {"keep": 2}}', '{"m": {"keep": NaN}}', '{"m": {"kept": 0.5}}', "[" * 100_000]
    + ['{"m": {"samples": 0}}', " " * (MAX_FILE_BYTES + 1)],
)
def test_anything_else_in_the_file_is_refused(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="calibration.json.*expected"):
        load_tuning(path, "m")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="is no file"):
        load_tuning(tmp_path, "m")
