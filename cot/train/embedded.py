"""Trains the embedded model: the vision tower on dense patch labels, the decoder on finding names, all on questions.

In: a folder for checkpoints, minutes to spend. Out: a checkpoint folder that transformers loads.
Runs on CPU or CUDA, in bfloat16 where the device is fast at it (autocast), in float32 elsewhere. Stops and resumes at
any time, from its last checkpoint, on either kind of machine.
"""

from pathlib import Path

from cot.engine.local.load import import_quietly, pick_device
from cot.errors import EngineError, reason
from cot.train.folder import held, make_folder
from cot.train.recipe import Recipe
from cot.train.trainer import Trainer


def train_embedded(
    recipe: Recipe, *, work: Path, out: Path, device: str = "cpu", init: Path | None = None, again: bool = False
) -> None:
    """Run or resume a training run in `work`; write the checkpoint to `out` when it is done.

    device: auto, cpu, cuda, cuda:N. init: a finished checkpoint to start from; where `work` has a checkpoint, that is
    resumed instead. again: where the run in `work` has ended, train on questions for the recipe's minutes once more,
    from a full rate and with what the optimizers know. Raises UsageError if a folder cannot be written, or `work` holds
    no run to train on `again`, EngineError for a device that is not there, an `init` that does not load, or a step that
    this machine cannot make, DataError if `init` or what `work` holds is damaged or does not fit the recipe, another
    process uses `work`, training diverges, or a disk is full.
    """
    device = pick_device(device)
    import_quietly()
    make_folder(out, "--out")
    make_folder(work, "--work")
    with held(work):
        trainer = Trainer(recipe, work, device, init, again=again)
        try:
            trainer.run()
        except KeyboardInterrupt:
            print(f"stopped at step {trainer.state['steps']}; the same command goes on", flush=True)
            raise
        except (MemoryError, RuntimeError) as error:  # what torch says of this machine, such as no memory, no compiler
            advice = "leave --compile out, or " if recipe.compile else ""
            raise EngineError(
                f"torch failed at step {trainer.state['steps']}: {reason(error)}; {advice}try a smaller --batch:"
                " the run goes on from its last checkpoint"
            ) from error
        trainer.export(out)
