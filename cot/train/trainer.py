"""One training run: its model, its optimizers, and the steps that they take until its time is up.

In: a recipe, and a folder that may hold a stopped run. Out: checkpoints in that folder, figures on stdout, and at the
end a checkpoint that transformers loads. It knows nothing of other processes.
"""

import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError

from cot.errors import DataError, UsageError, reason
from cot.train.checkpoint import NAME, read_checkpoint, write_checkpoint
from cot.train.data import BatchMaker, Part
from cot.train.feed import feed
from cot.train.folder import filled
from cot.train.model import PREFIX_TOKENS, SIZES, build_model, build_processor, save
from cot.train.objective import Objective
from cot.train.optimizers import new_optimizers
from cot.train.recipe import Recipe
from cot.train.start import finished_weights, load_tokenizer

CHECKPOINT_SECONDS: Final = 240
LOG_SECONDS: Final = 20
WARM_UP_STEPS: Final = 50
READ_OUT_RATE: Final = 3e-3
LOOK_UP_TOKENS: Final = 186
"""Of the turns of an image in the look-up, which has no plans."""
VISION_BATCHES: Final = 4
"""A step on patch labels takes that many batches: it is cheap, and Muon costs the same for any batch."""


class Trainer:
    """The state of a run, which has three parts: see `cot.train.data.Part`."""

    def __init__(
        self, recipe: Recipe, folder: Path, device: str, init: Path | None = None, *, again: bool = False
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        torch.manual_seed(recipe.seed)
        folder.mkdir(parents=True, exist_ok=True)
        saved = read_checkpoint(folder, size=recipe.size, init=init)
        if again and not saved:
            raise UsageError(
                f"got --again, and {folder} holds no run to train on; expected one that has ended; name its folder with"
                " --work, or leave --again out to start anew"
            )
        if saved and init:
            print(f"{folder} has a checkpoint, which is resumed; --init {init} is not read again", flush=True)
        size = SIZES[recipe.size]
        finished = None if saved else init
        weights = finished_weights(finished) if finished else None
        self.tokenizer = load_tokenizer(folder, recipe.size, finished, resumed=bool(saved))
        self.model = build_model(size, self.tokenizer).to(device)
        self.init = str(init.resolve()) if init else None
        if weights:
            self._fill(weights)
        self.model.set_attn_implementation("eager" if device == "cpu" else "sdpa")
        self.objective = Objective(self.model, self.tokenizer, device)
        self.heads, self.names = self.objective.heads, self.objective.names
        self.state: dict[str, Any] = {
            "part": "vision", "seconds": 0.0, "steps": 0, "steps_before": 0, "images": 0, "history": []
        }  # fmt: skip
        self.optimizers = self._new_optimizers()
        if saved:
            self._resume(saved)
        if again:
            self._set_back()
        if recipe.compile:
            for module in (self.model.model.vision_tower, self.model.model.language_model):
                module.forward = torch.compile(module.forward, dynamic=False)

    def _fill(self, weights: dict[str, torch.Tensor]) -> None:
        """Start from a finished checkpoint's weights. Raises DataError if they are of another size."""
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as error:
            raise DataError(
                f"{self.init} is not a checkpoint of size {self.recipe.size!r}; choose its --size"
            ) from error

    def _new_optimizers(self) -> list[torch.optim.Optimizer]:
        return new_optimizers(
            self.state["part"], self.model, self.heads, self.names, weight_decay=self.recipe.weight_decay,
            tower_share=self.recipe.tower_share, bfloat16=self.objective.bfloat16,
        )  # fmt: skip

    def _resume(self, saved: dict[str, Any]) -> None:
        """Go on from what `checkpoint` wrote. Raises DataError if it does not fit."""
        try:
            self.init = saved.get("init", self.init)
            self.state = saved["state"]
            self.model.load_state_dict(saved["model"])
            self.heads.load_state_dict(saved["heads"])
            self.names.load_state_dict(saved["names"])
            self.optimizers = self._new_optimizers()
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                shares = [group["share"] for group in optimizer.param_groups]
                optimizer.load_state_dict(state)
                for group, share in zip(optimizer.param_groups, shares, strict=True):
                    group["share"] = share  # of this recipe, as its rate is
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            # One that says its size has this one, see `read_checkpoint`.
            advice = "go on with the cot that wrote it" if "size" in saved else "choose the --size of its run"
            raise DataError(
                f"{self.folder / NAME} does not fit size {self.recipe.size!r}: {reason(error)}; {advice}, "
                "or name another --work"
            ) from error
        print(f"resumed: part {self.state['part']}, step {self.state['steps']}", flush=True)

    def _set_back(self) -> None:
        """Have a run that has ended train its last part once more; one that was stopped just goes on."""
        part = self.state["part"]
        ended = self.state["seconds"] >= 60 * self.state.get("recipes", {}).get(part, {}).get("minutes", math.inf)
        if part == "questions" and ended:
            self.state |= {"seconds": 0.0, "steps_before": self.state["steps"]}
            print(f"trains once more, from step {self.state['steps']}", flush=True)

    def checkpoint(self) -> None:
        """Write all state. Raises DataError if it cannot be written."""
        write_checkpoint(
            self.folder, size=self.recipe.size, init=self.init, state=self.state, model=self.model.state_dict(),
            heads=self.heads.state_dict(), names=self.names.state_dict(),
            optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
        )  # fmt: skip

    def _batches(self, part: Part) -> Iterator[dict[str, torch.Tensor]]:
        recipe = self.recipe
        text: dict[Part, int] = {"vision": 0, "look-up": LOOK_UP_TOKENS, "questions": recipe.max_text_tokens}
        maker = BatchMaker(
            part, self.tokenizer, batch=recipe.batch * (VISION_BATCHES if part == "vision" else 1),
            # A resumed run must not see the same samples again.
            seed=recipe.seed * 1_000_003 + self.state["images"] + (part == "vision"),
            prefix_tokens=PREFIX_TOKENS, max_tokens=text[part],
        )  # fmt: skip
        for batch in feed(maker, workers=recipe.workers, ahead=self.device != "cpu"):
            yield {name: tensor.to(self.device) for name, tensor in batch.items()}

    def run(self) -> None:
        """Train what is left of all parts, and say if nothing is."""
        recipe, steps = self.recipe, self.state["steps"]
        minutes = {"vision": recipe.vision_minutes, "look-up": recipe.look_up_minutes, "questions": recipe.minutes}
        for part, following in itertools.pairwise([*minutes, None]):
            if self.state["part"] == part and part:
                if self.state["seconds"] < 60 * minutes[part]:
                    self._run_part(minutes[part])
                if following:
                    self.state |= {"part": following, "seconds": 0.0, "steps_before": self.state["steps"]}
                    self.optimizers = self._new_optimizers()
                self.checkpoint()
        if self.state["steps"] == steps > 0:
            print(
                f"nothing was left to train in {self.folder}; train on with --again, or name another --work to start "
                "anew",
                flush=True,
            )

    def _read_out(self) -> None:
        """Let the read-outs learn what the model knows, and nothing else.

        A finished checkpoint brings none, and while they are random their gradients would take that away (docs/log.md).
        All of them learn from questions, whichever part comes next.
        """
        steps = self.recipe.read_out_steps
        reads = [*self.heads.parameters(), *self.names.parameters()]
        optimizer = torch.optim.AdamW(reads, betas=(0.9, 0.98), fused=True)
        for step, batch in zip(range(steps), self._batches("questions"), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = READ_OUT_RATE * (1 - step / steps)
            loss, figures = self.objective.loss(batch, "questions")
            loss.backward(inputs=reads)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            self.state["steps"] += 1
            self.state["images"] += len(batch["pixels"])
            if (step + 1) % 50 == 0 or step + 1 == steps:
                self._log({"part": "read-outs", "loss": loss.item(), **figures})
        self.state["steps_before"] = self.state["steps"]
        self.checkpoint()

    def _run_part(self, minutes: float) -> None:
        recipes = self.state.setdefault("recipes", {})
        recipe, before = asdict(self.recipe), recipes.get(self.state["part"], {})
        for name in (name for name in recipe if name in before and recipe[name] != before[name]):
            print(f"  {name}: {recipe[name]} from now on, was {before[name]}", flush=True)
        recipes[self.state["part"]] = recipe
        self.model.train()
        if self.init and not self.state["steps"]:
            self._read_out()
        if self.recipe.compile:
            self._warm_up()
        try:
            self._take_steps(minutes)
        except KeyboardInterrupt:
            self.checkpoint()
            raise

    def _take_steps(self, minutes: float) -> None:
        logged = saved = last = time.monotonic()
        sums: dict[str, float] = {}
        images = count = 0
        for batch in self._batches(self.state["part"]):
            progress = self.state["seconds"] / (60 * minutes)
            if progress >= 1:
                break
            figures = self._step(batch, progress)
            now = time.monotonic()
            self.state["seconds"] += now - last
            last = now
            self.state["steps"] += 1
            self.state["images"] += len(batch["pixels"])
            images, count = images + len(batch["pixels"]), count + 1
            sums = {name: sums.get(name, 0.0) + value for name, value in figures.items()}
            if now - logged > LOG_SECONDS:
                means = {name: round(value / count, 4) for name, value in sums.items()}
                self._log({**means, "images_per_second": round(images / (now - logged), 1)})
                logged, sums, images, count = now, {}, 0, 0
            if now - saved > CHECKPOINT_SECONDS:
                self.checkpoint()
                saved = last = time.monotonic()

    def _warm_up(self) -> None:
        """Compile outside the time that is counted; the gradients are thrown away."""
        for batch in itertools.islice(self._batches(self.state["part"]), 1):
            loss, _ = self.objective.loss(batch, self.state["part"])
            loss.backward()

    def _log(self, figures: dict[str, Any]) -> None:
        entry = {
            "part": self.state["part"],
            "minutes": round(self.state["seconds"] / 60, 2),
            "steps": self.state["steps"],
            **figures,
        }
        self.state["history"].append(entry)
        print(json.dumps(entry), flush=True)

    def _step(self, batch: dict[str, torch.Tensor], progress: float) -> dict[str, float]:
        warm = min(1.0, (self.state["steps"] - self.state["steps_before"] + 1) / WARM_UP_STEPS)
        # The look-up is short and its end is no goal of its own: a rate that falls would only cut it shorter.
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group in groups:
            rate = self.recipe.learning_rate * group["share"]
            group["lr"] = rate * warm * (1.0 if self.state["part"] == "look-up" else falling)
        loss, figures = self.objective.loss(batch, self.state["part"])
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_((p for group in groups for p in group["params"]), 1.0)
        if not math.isfinite(norm):
            raise DataError(
                f"the gradients are no longer finite at step {self.state['steps']}, with a loss of {loss.item()}; the"
                " last checkpoint is from before: go on from it with a lower --learning-rate"
            )
        for optimizer in self.optimizers:
            optimizer.step()
        return {"loss": loss.item(), **figures}

    def export(self, folder: Path) -> None:
        """Write the model as an ordinary checkpoint, with how it was trained beside it: all of it, or nothing.

        Raises DataError if it cannot be written.
        """
        # That of what was trained last, which need not be this command's; `recipes` has those of all parts.
        recipe = self.state.get("recipes", {}).get(self.state["part"], asdict(self.recipe))
        record = {"recipe": recipe, **{k: v for k, v in self.state.items() if k != "history"}}
        try:
            with filled(folder) as new:
                save(self.model, build_processor(self.tokenizer), new)
                (new / "training.json").write_text(json.dumps(record, indent=2) + "\n")
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"cannot write the checkpoint {folder}: {reason(error)}; if the disk is full, free some space: the run"
                f" is whole in {self.folder}, and the same command without --again writes it"
            ) from error
