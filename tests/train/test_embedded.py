"""The recipe: a tiny run gives a checkpoint that loads, stops and resumes."""

import json
import math
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cot.cli import app
from cot.engine.base import Message, Request
from cot.engine.local import LocalEngine
from cot.errors import CotError, DataError, UsageError
from cot.image import from_pixels
from cot.shipped import weights_folder
from cot.train import model as models
from cot.train import objective
from cot.train.data import BatchMaker, draw
from cot.train.embedded import train_embedded
from cot.train.feed import feed
from cot.train.folder import LOCK_FILE, held
from cot.train.model import PREFIX_TOKENS, SIZES, build_model, build_processor
from cot.train.muon import Float32Muon
from cot.train.recipe import Recipe
from cot.train.sample import GRID
from cot.train.start import for_grid
from cot.train.trainer import WARM_UP_STEPS, Trainer


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    recipe = Recipe(size="tiny", minutes=0.02, vision_minutes=0.02, look_up_minutes=0.01, batch=4, workers=0)
    trainer = Trainer(recipe, tmp_path_factory.mktemp("work"), "cpu")
    trainer.run()
    return trainer


def test_a_run_resumes_where_it_was(trainer: Trainer) -> None:
    again = Trainer(trainer.recipe, trainer.folder, "cpu")
    assert again.state["part"] == "questions"
    assert again.state["steps"] == trainer.state["steps"] > 0
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    # A busy machine may have taken much longer for its last step than the minutes that it had.
    minutes = trainer.state["seconds"] / 60 + 0.02
    longer = Trainer(replace(trainer.recipe, minutes=minutes), trainer.folder, "cpu")
    longer.run()
    assert longer.state["steps"] > trainer.state["steps"]


def test_a_resumed_run_goes_by_the_rates_that_it_is_given(trainer: Trainer) -> None:
    again = Trainer(replace(trainer.recipe, tower_share=0.25), trainer.folder, "cpu")
    groups = [group for optimizer in again.optimizers for group in optimizer.param_groups]
    shares = {id(one): group["share"] for group in groups for one in group["params"]}
    for name, parameter in again.model.named_parameters():
        assert shares[id(parameter)] == (0.25 if "vision_tower" in name else 1.0), name


def test_a_run_can_start_from_a_finished_checkpoint(trainer: Trainer, tmp_path: Path) -> None:
    trainer.export(tmp_path / "out")
    recipe = Recipe(size="tiny", workers=0)
    further = Trainer(recipe, tmp_path / "work", "cpu", tmp_path / "out")
    assert not further.state["steps"]
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor.bfloat16().float(), further.model.state_dict()[name]), name
    with pytest.raises(DataError, match="--size"):
        Trainer(Recipe(size="embedded", workers=0), tmp_path / "other", "cpu", tmp_path / "out")


def test_a_run_can_start_from_a_checkpoint_of_another_input_size(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "INPUT_PIXELS", 160)
    smaller = build_model(SIZES["tiny"], trainer.tokenizer)
    models.save(smaller, build_processor(trainer.tokenizer), tmp_path / "smaller")
    monkeypatch.undo()
    further = Trainer(Recipe(size="tiny", workers=0), tmp_path / "work", "cpu", tmp_path / "smaller")
    before = {name: tensor.bfloat16().float() for name, tensor in smaller.state_dict().items()}
    after = further.model.state_dict()
    different = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    (places,) = different
    assert places.endswith("position_embedding.weight")
    assert after[places].shape == (1 + GRID**2, before[places].shape[1])
    assert torch.equal(after[places], for_grid(before[places]))


def test_a_place_in_the_image_keeps_its_embedding_at_another_input_size() -> None:
    def places(side: int) -> torch.Tensor:
        """How far right and down each patch's middle is, as if that were all that is embedded."""
        at = (torch.arange(side) + 0.5) / side
        square = torch.stack([at.repeat(side), at.repeat_interleave(side)], dim=1)
        return torch.cat([torch.full((1, 2), 7.0), square])

    assert torch.equal(for_grid(places(GRID)), places(GRID))
    for side in (GRID - 2, GRID + 5):
        resized, wanted = for_grid(places(side)), places(GRID)
        assert torch.equal(resized[0], wanted[0])
        inner = ((wanted[1:] > 0.2) & (wanted[1:] < 0.8)).all(1)
        assert torch.allclose(resized[1:][inner], wanted[1:][inner], atol=0.01)


def test_read_outs_learn_first_and_alone_and_once(trainer: Trainer, tmp_path: Path) -> None:
    trainer.export(tmp_path / "out")
    recipe = Recipe(
        size="tiny", minutes=0.001, vision_minutes=0, look_up_minutes=0, read_out_steps=15, batch=4, workers=0
    )
    further = Trainer(recipe, tmp_path / "work", "cpu", tmp_path / "out")
    model = {name: tensor.clone() for name, tensor in further.model.state_dict().items()}
    batch = next(further._batches("questions"))

    def losses() -> tuple[float, dict[str, float]]:
        with torch.no_grad():
            loss, figures = further.objective.loss(batch, "questions")
        return loss.item(), figures

    before, said = losses()
    further._read_out()
    after, said_then = losses()
    assert after < 0.95 * before
    assert said_then["answer_loss"] == said["answer_loss"]
    for name, tensor in further.model.state_dict().items():
        assert torch.equal(tensor, model[name]), name
    assert all(parameter.requires_grad and parameter.grad is None for parameter in further.model.parameters())

    again = Trainer(recipe, tmp_path / "work", "cpu")
    for name, tensor in further.heads.state_dict().items():
        assert torch.equal(tensor, again.heads.state_dict()[name]), name
    again.run()
    assert again.state["steps"] > again.state["steps_before"] == 15
    assert again.state["images"] == 4 * again.state["steps"]
    assert [entry["part"] for entry in again.state["history"]].count("read-outs") == 1


@pytest.mark.parametrize(("started", "minutes"), [(False, 0.001), (True, 0.0)])
def test_read_outs_learn_alone_only_where_a_finished_checkpoint_is_trained(
    trainer: Trainer, tmp_path: Path, started: bool, minutes: float
) -> None:
    trainer.export(tmp_path / "out")
    recipe = Recipe(
        size="tiny", minutes=minutes, vision_minutes=0, look_up_minutes=0, read_out_steps=3, batch=2, workers=0
    )
    run = Trainer(recipe, tmp_path / "work", "cpu", tmp_path / "out" if started else None)
    run.run()
    assert run.state["part"] == "questions"
    assert (run.state["steps"] > 0) == (minutes > 0)
    assert run.state["history"] == []


def test_a_part_of_no_minutes_takes_no_step(tmp_path: Path) -> None:
    recipe = Recipe(size="tiny", minutes=0.001, vision_minutes=0, look_up_minutes=0, batch=2, workers=0)
    run = Trainer(recipe, tmp_path, "cpu")
    run.run()
    assert run.state["steps_before"] == 0 < run.state["steps"]


def test_losses_are_the_same_in_every_number_format(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = BatchMaker("questions", trainer.tokenizer, batch=4, seed=7, prefix_tokens=PREFIX_TOKENS, max_tokens=160)
    batch = next(feed(maker, workers=0, ahead=False))
    losses = []
    for bfloat16, attention in ((False, "eager"), (False, "sdpa"), (True, "eager")):
        monkeypatch.setattr(trainer.objective, "bfloat16", bfloat16)
        trainer.model.set_attn_implementation(attention)
        with torch.no_grad():
            losses.append(trainer.objective.loss(batch, "questions")[0].item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=0.02)
    assert losses[2] != losses[0]


@pytest.mark.parametrize("bfloat16", [True, False])
def test_muon_and_autocast_multiply_in_bfloat16_only_where_that_is_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bfloat16: bool
) -> None:
    monkeypatch.setattr(objective, "compute_dtype", lambda device: torch.bfloat16 if bfloat16 else torch.float16)
    made = Trainer(Recipe(size="tiny", workers=0), tmp_path, "cpu")
    assert made.objective.bfloat16 == bfloat16
    adamw, muon = made.optimizers
    assert type(adamw) is torch.optim.AdamW
    assert type(muon) is (torch.optim.Muon if bfloat16 else Float32Muon)


def test_steps_lower_the_loss(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    # However few steps the machine had time for: the learning rate is no longer warming up.
    monkeypatch.setitem(trainer.state, "steps", trainer.state["steps_before"] + WARM_UP_STEPS)
    maker = BatchMaker("questions", trainer.tokenizer, batch=4, seed=3, prefix_tokens=PREFIX_TOKENS, max_tokens=160)
    batch = next(feed(maker, workers=0, ahead=False))
    losses = [trainer._step(batch, 0.3)["loss"] for _ in range(70)]
    assert losses[-1] < 0.9 * losses[0]


async def test_the_command_writes_a_checkpoint_that_transformers_and_the_engine_load(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    out = tmp_path / "out"
    arguments = [
        "train",
        "embedded",
        "--size",
        "tiny",
        "--minutes",
        "0.02",
        "--vision-minutes",
        "0.02",
        "--look-up-minutes",
        "0.01",
    ]
    arguments += ["--batch", "2", "--workers", "0", "--work", str(tmp_path / "work"), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads((out / "training.json").read_text())["recipe"]["size"] == "tiny"
    model = AutoModelForImageTextToText.from_pretrained(out)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1, "who may read one file may read all"
    assert AutoProcessor.from_pretrained(out).chat_template
    image = from_pixels(draw(random.Random(1)).image, source="test")
    engine = LocalEngine.load(out)
    request = Request((Message("user", (image, "How many dogs are there?")),), max_tokens=4)
    first, second = [await engine.complete(request) for _ in range(2)]
    await engine.close()
    assert first.text == second.text
    assert first.usage.image_tokens == GRID**2


def test_an_unknown_size_is_one_clear_error() -> None:
    result = CliRunner().invoke(app, ["train", "embedded", "--size", "huge", "--out", "x"])
    assert result.exit_code != 0
    assert "huge" in str(result.exception)
    assert "tiny" in str(result.exception)


def train(*arguments: object, code: int | None = None) -> str:
    """What a run that must not begin says, in one line. code: what the command line is to exit with."""
    shortest = ("--size", "tiny", "--minutes", "0", "--vision-minutes", "0", "--look-up-minutes", "0", "--workers", "0")
    result = CliRunner().invoke(app, ["train", "embedded", *shortest, *map(str, arguments)])
    assert result.exit_code != 0
    said = result.output if isinstance(result.exception, SystemExit) else str(result.exception)
    assert isinstance(result.exception, CotError | SystemExit), result.exception
    assert isinstance(result.exception, SystemExit) or "\n" not in said
    assert code in (None, getattr(result.exception, "exit_code", None))
    return said


def test_wrong_options_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work")
    assert "unknown device 'gpu'" in train(*places, "--device", "gpu", code=2)
    if not torch.cuda.is_available():
        assert "device 'cuda' is not available" in train(*places, "--device", "cuda")
    assert "less than or equal to 4294967295" in train(*places, "--seed", 2**70)
    assert "got no text; expected a path" in train(*places, "--init", "")
    assert train(*places, "--minutes", "inf") == "got --minutes inf; expected a number of at least 0, and finite"
    assert list(tmp_path.iterdir()) == []


def test_what_a_finished_run_is_not_trained_with_is_not_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Recipe(size="tiny", minutes=0.001, vision_minutes=0, look_up_minutes=0, batch=2, workers=0)
    for recipe in (first, replace(first, seed=7, batch=4)):
        train_embedded(recipe, work=tmp_path / "work", out=tmp_path / f"out{recipe.seed}")
    said = capsys.readouterr().out
    assert "nothing was left to train" in said
    assert "from now on" not in said
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("out0", "out7")]
    assert records[1]["recipe"] == records[0]["recipe"]
    assert records[0]["recipe"]["seed"] == 0
    spent = torch.load(tmp_path / "work" / "checkpoint.pt", weights_only=False)["state"]["seconds"]
    longer = replace(first, seed=7, minutes=spent / 60 + 0.001)
    train_embedded(longer, work=tmp_path / "work", out=tmp_path / "out")
    assert "  seed: 7 from now on, was 0\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "training.json").read_text())["recipe"]["seed"] == 7


def test_a_run_that_has_ended_is_trained_on_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Recipe(size="tiny", minutes=0.001, vision_minutes=0, look_up_minutes=0, batch=2, workers=0)

    def state() -> dict[str, Any]:
        loaded: dict[str, Any] = torch.load(tmp_path / "work" / "checkpoint.pt", weights_only=False)["state"]
        return loaded

    train_embedded(recipe, work=tmp_path / "work", out=tmp_path / "out")
    first = state()["steps"]
    train_embedded(recipe, work=tmp_path / "work", out=tmp_path / "out", again=True)
    assert f"trains once more, from step {first}\n" in capsys.readouterr().out
    assert state()["steps"] > first == state()["steps_before"]
    # One that was stopped on the way does not begin anew.
    stopped = Trainer(replace(recipe, minutes=5), tmp_path / "work", "cpu", again=True)
    stopped.state["recipes"]["questions"]["minutes"] = 5
    stopped.state["seconds"] = 150.0
    stopped.checkpoint()
    resumed = Trainer(replace(recipe, minutes=5), tmp_path / "work", "cpu", again=True)
    assert resumed.state["seconds"] == 150.0


def test_training_on_again_needs_a_run(tmp_path: Path) -> None:
    recipe = Recipe(size="tiny", minutes=0, vision_minutes=0, look_up_minutes=0, batch=2, workers=0)
    with pytest.raises(UsageError, match="got --again, and .*work holds no run to train on"):
        train_embedded(recipe, work=tmp_path / "work", out=tmp_path / "out", again=True)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [LOCK_FILE]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk here")
def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    recipe = Recipe(size="tiny", minutes=0, vision_minutes=0, look_up_minutes=0, batch=2, workers=0)
    run = Trainer(recipe, tmp_path, "cpu")
    run.checkpoint()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.new").symlink_to("/dev/full")
    with pytest.raises(DataError, match="cannot write .*checkpoint.pt: .*free some space"):
        run.checkpoint()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not (tmp_path / "checkpoint.new").is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on files")
def test_a_disk_that_is_full_at_the_end_leaves_what_stood_there(trainer: Trainer, tmp_path: Path) -> None:
    import resource

    trainer.export(tmp_path)
    (tmp_path / "notes.md").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(
            DataError, match=f"cannot write the checkpoint {tmp_path}: .*the same command without --again writes it"
        ):
            trainer.export(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with held(work):
        said = train("--out", tmp_path / "out", "--work", work)
    assert said == f"another process trains in {work}; wait for it, or name another --work"
    assert [path.name for path in work.iterdir()] == [LOCK_FILE]


def test_an_interrupt_keeps_what_was_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def interrupted(self: Trainer, *arguments: Any) -> dict[str, float]:
        if self.state["steps"] == 3:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    recipe = Recipe(size="tiny", minutes=60, vision_minutes=0, look_up_minutes=0, batch=2, workers=0)
    with pytest.raises(KeyboardInterrupt):
        train_embedded(recipe, work=tmp_path / "work", out=tmp_path / "out")
    assert capsys.readouterr().out.endswith("stopped at step 3; the same command goes on\n")
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [LOCK_FILE, "checkpoint.pt", "tokenizer.json"]
    assert Trainer(recipe, tmp_path / "work", "cpu").state["steps"] == 3


def test_a_run_that_diverges_ends_and_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    recipe = Recipe(size="tiny", minutes=1, vision_minutes=0, look_up_minutes=0, batch=2, workers=0, learning_rate=1e30)
    with pytest.raises(DataError, match="no longer finite at step .*; the last checkpoint .* a lower --learning-rate"):
        Trainer(recipe, tmp_path, "cpu").run()
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["state"]["steps"] == 0
    assert all(torch.isfinite(tensor).all() for tensor in kept["model"].values())


def test_a_step_that_does_not_fit_into_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*arguments: Any) -> dict[str, float]:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB.")  # as on a GPU

    monkeypatch.setattr(Trainer, "_step", step)
    said = train("--out", tmp_path / "out", "--work", tmp_path / "work", "--minutes", "1", "--batch", "2", code=1)
    assert said == (
        "torch failed at step 0: CUDA out of memory. Tried to allocate 2.00 GiB.; try a smaller --batch: the run"
        " goes on from its last checkpoint"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_recipe_has_finite_times_and_rates(value: float) -> None:
    with pytest.raises(UsageError, match=rf"got --minutes {value}; expected a number of at least 0, and finite"):
        Recipe(minutes=value)
    for name in ("vision_minutes", "look_up_minutes", "learning_rate", "tower_share"):
        given: dict[str, Any] = {name: value}
        with pytest.raises(UsageError, match="expected a number of at least 0"):
            Recipe(**given)


def test_folders_that_cannot_be_written_are_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for option, other in (("--out", "--work"), ("--work", "--out")):
        said = train(option, tmp_path / "file" / "x", other, tmp_path / "new")
        assert said.startswith(f"{option} {tmp_path / 'file' / 'x'} cannot be written: ")
    assert not (tmp_path / "new" / "tokenizer.json").exists()


def test_a_damaged_finished_checkpoint_is_one_line(trainer: Trainer, tmp_path: Path) -> None:
    init = tmp_path / "init"
    trainer.export(init)
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work", "--init", init)
    tokenizer = (init / "tokenizer.json").read_text()
    (init / "tokenizer.json").write_text("{")
    assert str(init) in train(*places)
    (init / "tokenizer.json").unlink()
    assert str(init) in train(*places)
    (init / "tokenizer.json").write_text(tokenizer)
    whole = (init / "model.safetensors").read_bytes()
    (init / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert f"cannot load the model of {init}: " in train(*places)
    (init / "config.json").write_text("{")
    assert f"cannot load the config of {init}: " in train(*places)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [LOCK_FILE]


def test_what_is_damaged_in_the_folder_of_a_run_is_one_line(trainer: Trainer, tmp_path: Path) -> None:
    work = Path(shutil.copytree(trainer.folder, tmp_path / "work"))
    places = ("--out", tmp_path / "out", "--work", work)
    whole = (work / "checkpoint.pt").read_bytes()
    for damaged in (b"", b"text", whole[: len(whole) // 2]):
        (work / "checkpoint.pt").write_bytes(damaged)
        said = train(*places)
        assert said.startswith(f"{work / 'checkpoint.pt'} is damaged (")
        assert said.endswith("); name another --work, or take it away to start anew")
    (work / "checkpoint.pt").unlink()
    (work / "checkpoint.pt").mkdir()
    assert train(*places).startswith(f"cannot read {work / 'checkpoint.pt'}: Is a directory")
    (work / "checkpoint.pt").rmdir()
    (work / "checkpoint.pt").write_bytes(whole)
    (work / "tokenizer.json").write_text("{")
    assert train(*places).startswith(f"{work / 'tokenizer.json'} is damaged: ")
    (work / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {}, "merges": []}}')
    assert "lacks <pad>, <s>, </s>" in train(*places)
    (work / "tokenizer.json").unlink()
    assert train(*places).startswith(f"{work} has a checkpoint without its tokenizer.json; put it back, or name")


def test_the_tokenizer_of_a_run_that_left_no_checkpoint_is_not_used(trainer: Trainer, tmp_path: Path) -> None:
    shutil.copyfile(weights_folder() / "tokenizer.json", tmp_path / "tokenizer.json")
    begun = Trainer(Recipe(size="tiny", workers=0), tmp_path, "cpu")
    assert begun.tokenizer.get_vocab_size() == trainer.tokenizer.get_vocab_size()


def test_a_run_goes_on_only_as_what_it_was(
    trainer: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, embedded = Recipe(size="tiny", workers=0), Recipe(size="embedded", workers=0)
    with pytest.raises(DataError, match="is of size 'tiny', got --size embedded; choose its own, or name another"):
        Trainer(embedded, trainer.folder, "cpu")
    init = tmp_path / "init"
    trainer.export(init)
    with pytest.raises(DataError, match=f"started from nothing, got --init {init}; leave that out, or name another"):
        Trainer(tiny, trainer.folder, "cpu", init)
    Trainer(tiny, tmp_path / "work", "cpu", init).checkpoint()
    capsys.readouterr()
    assert Trainer(tiny, tmp_path / "work", "cpu", init).init == str(init)
    assert f"which is resumed; --init {init} is not read again" in capsys.readouterr().out
    assert Trainer(tiny, tmp_path / "work", "cpu").init == str(init)


def test_a_checkpoint_that_does_not_say_its_size_loads_if_it_fits(trainer: Trainer, tmp_path: Path) -> None:
    work = Path(shutil.copytree(trainer.folder, tmp_path / "work"))
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    del saved["size"], saved["init"], saved["input_pixels"]
    torch.save(saved, work / "checkpoint.pt")
    assert Trainer(Recipe(size="tiny", workers=0), work, "cpu").state["steps"] == saved["state"]["steps"]
    with pytest.raises(
        DataError, match=r"checkpoint.pt does not fit size 'embedded': .*; choose the --size of its run"
    ):
        Trainer(Recipe(size="embedded", workers=0), work, "cpu")


def test_a_checkpoint_of_another_version_says_so(trainer: Trainer, tmp_path: Path) -> None:
    work = Path(shutil.copytree(trainer.folder, tmp_path / "work"))
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    saved["heads"].popitem()
    torch.save(saved, work / "checkpoint.pt")
    with pytest.raises(DataError, match="does not fit size 'tiny': .*; go on with the cot that wrote it, or"):
        Trainer(Recipe(size="tiny", workers=0), work, "cpu")


def test_a_checkpoint_that_sees_images_at_another_size_says_so(trainer: Trainer, tmp_path: Path) -> None:
    work = Path(shutil.copytree(trainer.folder, tmp_path / "work"))
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    torch.save(saved | {"input_pixels": 16}, work / "checkpoint.pt")
    with pytest.raises(DataError, match=r"checkpoint.pt sees images at 16 pixels, and this version at .*--work"):
        Trainer(Recipe(size="tiny", workers=0), work, "cpu")


def test_batches_do_not_depend_on_who_makes_them(trainer: Trainer) -> None:
    maker = BatchMaker("look-up", trainer.tokenizer, batch=2, seed=5, prefix_tokens=PREFIX_TOKENS, max_tokens=120)
    alone, helped = feed(maker, workers=0, ahead=False), feed(maker, workers=1, ahead=True)
    for _ in range(5):
        first, second = next(alone), next(helped)
        assert all(torch.equal(first[name], second[name]) for name in first)
    helped.close()  # type: ignore[attr-defined]


def test_learning_to_look_up_leaves_the_vision_tower_alone(trainer: Trainer, tmp_path: Path) -> None:
    recipe = Recipe(size="tiny", minutes=0, vision_minutes=0, look_up_minutes=0.02, batch=2, workers=0)
    looking = Trainer(recipe, tmp_path, "cpu")
    looking.state["part"] = "look-up"
    looking.optimizers = looking._new_optimizers()
    before = {name: tensor.clone() for name, tensor in looking.model.state_dict().items()}
    looking._run_part(recipe.look_up_minutes)
    changed = {name for name, tensor in looking.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert not any("vision_tower" in name for name in changed)
