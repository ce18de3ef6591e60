"""An evaluation by this project against lm-evaluation-harness, same checkpoint, same questions: run it as
`python -m benchmarks.harness`.

Both answer easy-VQA's test questions greedily in float32. The harness runs as its own command, once over a few
questions and once over more: the difference is what answering takes, loading and start-up apart. Prints the ratio
and how many predictions agree.

The harness gets a virtual environment of its own, made at the first run in `build/harness` from the versions in
`benchmarks/harness.lock`; what both need is of the same version. On Linux pip takes the CUDA build of torch unless
it is told of the other one: `PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu`.
"""

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
import venv
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from benchmarks.asking import MAX_TOKENS, ask, requests
from benchmarks.figures import parser, report
from cot.engine import Request
from cot.engine.local import LocalEngine

ROOT: Final = Path(__file__).parent.parent
LOCK: Final = ROOT / "benchmarks" / "harness.lock"
TIMES_BEFORE: Final = 2
"""Ours is timed so often before the harness, and once more after it; the median counts."""
TASK: Final = """\
task: easyvqa_sample
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: generate_until
doc_to_image: !function images.images
doc_to_text: "<image>{{{{question}}}}"
doc_to_target: ""
generation_kwargs: {{until: ["</s>"], max_gen_toks: {tokens}, do_sample: false}}
metric_list: [{{metric: bypass, aggregation: bypass, higher_is_better: true}}]
"""
READER: Final = """\
from PIL import Image


def images(doc):
    return [Image.open(doc["image"]).convert("RGB")]
"""


def environment(folder: Path) -> Path:
    """The Python of the harness's virtual environment, which is made unless it is there. Needs the network then."""
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    made_of = folder / LOCK.name
    if not made_of.is_file() or made_of.read_text() != LOCK.read_text():
        if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
            raise SystemExit(f"error: {folder} holds something else, which would be deleted; name an empty folder")
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", LOCK], check=True)
        made_of.write_text(LOCK.read_text())
    return python


def prepare(folder: Path, asked: list[Request]) -> None:
    """Write a task of the harness: the questions as JSON lines, their images as PNG files."""
    lines = []
    for index, request in enumerate(asked):
        picture, text = request.messages[0].content
        if isinstance(picture, str):
            raise SystemExit(f"error: request {index} has no image; expected an image and a question")
        path = folder / f"{index}.png"
        picture.pixels.save(path)
        lines.append(json.dumps({"question": text, "image": str(path)}))
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "images.py").write_text(READER)
    (folder / "task.yaml").write_text(TASK.format(data=folder / "data.jsonl", tokens=MAX_TOKENS))


def harness(python: Path, folder: Path, model: Path, limit: int) -> tuple[list[str], float]:
    """Run the harness over the first questions. Returns the texts and the seconds of the whole command."""
    out = folder / f"out{limit}"
    command = [
        str(python), "-m", "lm_eval", "run", "--model", "hf-multimodal",
        "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu", "--batch_size", "1",
        "--tasks", "easyvqa_sample", "--include_path", str(folder), "--apply_chat_template",
        "--limit", str(limit), "--log_samples", "--output_path", str(out),
    ]  # fmt: skip
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
    begun = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **offline}, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"error: lm_eval failed: {done.stderr.strip().splitlines()[-1:]}")
    (log,) = out.rglob("samples_*.jsonl")
    samples: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    samples.sort(key=lambda sample: sample["doc_id"])
    return [sample["resps"][0][0].strip() for sample in samples], seconds


def measure(model: Path, questions: int, folder: Path) -> dict[str, float]:
    """Ask both the same. folder: of the harness's environment."""
    few = 10
    python = environment(folder)
    asked = [request for group in requests(questions // 9 + 3) for request in group][: questions + few]
    if not 1 <= questions == len(asked) - few:
        raise SystemExit(f"error: got --questions {questions}; expected at least 1, and no more than the test has")
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), asked)
        # The harness takes minutes and ours seconds, which another process can spoil: so ours on both sides of it.
        times = [_ours(model, asked, few)[1] for _ in range(TIMES_BEFORE)]
        _, start = harness(python, Path(name), model, few)
        texts, whole = harness(python, Path(name), model, len(asked))
        for _ in range(TIMES_BEFORE + 1):
            ours, seconds = _ours(model, asked, few)
            times.append(seconds)
    seconds = statistics.median(times)
    return {
        "lm_eval_questions_per_second": questions / (whole - start),
        "eval_questions_per_second_beside_lm_eval": questions / seconds,
        "eval_speedup_vs_lm_eval": (whole - start) / seconds,
        "same_predictions_as_lm_eval": sum(a == b for a, b in zip(ours, texts[few:], strict=True)) / len(ours),
    }


def _ours(model: Path, asked: list[Request], few: int) -> tuple[list[str], float]:
    """Texts for all but the first few, which warm a new engine up, and the seconds."""
    engine = LocalEngine.load(model, device="cpu")
    asyncio.run(ask(engine, asked[:few]))
    answers, seconds = asyncio.run(ask(engine, asked[few:]))
    asyncio.run(engine.close())
    return [answer.text.strip() for answer in answers], seconds


def add_options(arguments: ArgumentParser) -> None:
    """What `measure` needs to know."""
    arguments.add_argument("--questions", type=int, default=250, help="that the harness is timed over")
    arguments.add_argument(
        "--environment", type=Path, default=ROOT / "build" / "harness", help="folder of the harness's environment"
    )


def main() -> None:
    """Measure and report."""
    arguments = parser(__doc__)
    add_options(arguments)
    options = arguments.parse_args()
    report(measure(options.model, options.questions, options.environment), options.json)


if __name__ == "__main__":
    main()
