"""
Speed of training and prediction: skkd and other libraries
==========================================================

All contenders train the same network on the same arrays with Adam, without early stopping, in one
process and with the same number of threads (``--threads``). In each round the contenders take
turns, and a ratio is the median of the rounds' ratios. Only the ratios carry over to other
machines.

``python examples/benchmarks/speed.py`` prints the tables, writes them as CSV and draws the
picture of the docs. It takes a quarter of an hour: after 100 seconds of a comparison no further
round is started. ``--works a b`` and ``--rounds 3`` measure less, and ``--quick`` runs one round of
the first task, in a minute. Use idle cores.
"""

import argparse
import tempfile
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from speed_others import other_numbers
from speed_parts import (
    DECAY,
    RATE,
    WORKS,
    Rows,
    mlp_fit,
    module,
    ratio,
    rounds_of,
    skkd_fit,
    skorch_fit,
)
from speed_predictions import predict_times, text_times
from threadpoolctl import threadpool_limits
from torch import nn
from tqdm import tqdm

from skkd.losses import distillation_loss
from skkd.teachers.agreement import TeacherMismatchWarning

# %%
# The contenders
# --------------


def loop_fit(work, rows, epochs, row_loss=None, fused=True, **layers):
    """Return a fit by the training loop of torch's tutorials: slices, autograd, Adam."""
    X, y = torch.from_numpy(rows.X), torch.from_numpy(rows.y)
    weights = torch.from_numpy(rows.weights).float()
    teacher = torch.from_numpy(rows.teacher_proba).log().float()

    def loss(z, i):
        if row_loss is None:
            return nn.functional.cross_entropy(z, y[i])
        return row_loss(z, y[i], weights[i], teacher[i]).mean()

    def fit():
        net = module(work, **layers)
        optimizer = torch.optim.Adam(net.parameters(), lr=RATE, weight_decay=DECAY, fused=fused)
        for _ in range(epochs):
            for i in torch.randperm(len(X)).split(work["batch"]):
                optimizer.zero_grad()
                loss(net(X[i]), i).backward()
                optimizer.step()

    return fit


def with_weights(z, y, weights, teacher):
    return weights * nn.functional.cross_entropy(z, y, reduction="none")


def smoothed(z, y, weights, teacher):
    return nn.functional.cross_entropy(z, y, label_smoothing=0.1, reduction="none")


def with_teacher(z, y, weights, teacher):
    return distillation_loss(y, z, teacher, temperature=2.0, alpha=0.5)


#: The network of the default preset, except for its sizes.
LIKE_THE_PRESET = {"dropout": 0.15, "activation": nn.SELU, "feature_scale": True}

#: The comparisons: name -> (skkd, the others).
CONTESTS = {
    "plain": (
        skkd_fit,
        {
            "MLPClassifier float32": mlp_fit,
            "MLPClassifier float64": lambda *args: mlp_fit(*args, dtype=np.float64),
            "skorch": skorch_fit,
            "eager loop": lambda *args: loop_fit(*args, fused=False),
            "fused loop": loop_fit,
        },
    ),
    "weights": (
        lambda *args: skkd_fit(*args, weighted=True),
        {"fused loop": lambda *args: loop_fit(*args, row_loss=with_weights)},
    ),
    "BatchNorm and dropout": (
        lambda *args: skkd_fit(*args, batch_norm=True, dropout=0.2),
        {"fused loop": lambda *args: loop_fit(*args, batch_norm=True, dropout=0.2)},
    ),
    "default preset": (
        lambda *args: skkd_fit(*args, preset="tabular", weight_decay=0.0),
        {"fused loop": lambda *args: loop_fit(*args, row_loss=smoothed, **LIKE_THE_PRESET)},
    ),
    "distillation": (
        lambda *args: skkd_fit(*args, distilling=True),
        {"fused loop": lambda *args: loop_fit(*args, row_loss=with_teacher)},
    ),
}


def fit_times(name, contest, n_rounds):
    """Yield the rows of a table: microseconds of a batch, seconds of a whole fit, and ratios."""
    work = WORKS[name]
    rows, (few, more) = Rows(work), work["epochs"]
    ours, others = CONTESTS[contest]
    contenders = {"skkd": ours, **others}
    fits = {
        (contender, epochs): make(work, rows, epochs)
        for contender, make in contenders.items()
        for epochs in (few, more)
    }
    times = rounds_of(fits, n_rounds, warm_up=[(contender, few) for contender in contenders])
    n_batches = -(-len(rows.X) // work["batch"]) * (more - few)
    of_batch = {
        contender: [
            (b - a) / n_batches
            for a, b in zip(times[contender, few], times[contender, more], strict=True)
        ]
        for contender in contenders
    }
    for contender in contenders:
        yield {
            "work": name,
            "contest": contest,
            "contender": contender,
            "batch, us": 1e6 * median(of_batch[contender]),
            "skkd's batch": ratio(of_batch["skkd"], of_batch[contender]),
            "fit, s": median(times[contender, more]),
            "skkd's fit": ratio(times["skkd", more], times[contender, more]),
            "rounds": len(times[contender, more]),
        }


# %%
# Tables and picture
# ------------------


def draw(fits, predictions, path):
    """Draw the time of a training step per task, and below it the time to predict one row."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(8.2, 5.6), layout="constrained")  # 900 pixels wide
    above, below = figure.subfigures(2, height_ratios=(2, 2.6), hspace=0.04)
    draw_fits(above, [line for line in fits if line["contest"] == "plain"])
    draw_predictions(below.subplots(), [line for line in predictions if line["rows"] == 1])
    figure.savefig(path, dpi=110)
    print("the picture is in", path)


def draw_fits(figure, table):
    """Draw a panel per task, with skkd's time of a batch divided by that of each contender."""
    works = list(dict.fromkeys(line["work"] for line in table))
    panels = figure.subplots(1, len(works), sharex=True, sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, works, strict=True):
        lines = [line for line in table if line["work"] == name and line["contender"] != "skkd"]
        bars = axes.barh(
            [line["contender"] for line in lines], [line["skkd's batch"] for line in lines]
        )
        over_line = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8, bbox=over_line)
        axes.axvline(1, color="black", linewidth=1)
        n_rows, n_features, _ = WORKS[name]["shape"]
        hidden = "-".join(map(str, WORKS[name]["hidden"]))
        axes.set_title(f"{n_rows:,} x {n_features},\n{hidden}", fontsize=9)
        axes.margins(x=0.25)  # room for the numbers
        axes.set_xticks([0, 0.5, 1])
        tidy(axes)
    panels[0].invert_yaxis()
    label = "time of a training step, skkd over the other (shorter: skkd is faster)"
    figure.supxlabel(label, fontsize=9)


def draw_predictions(axes, table):
    """Draw the microseconds of each contender to predict one row, the fastest on top."""
    lines = sorted(table, key=lambda line: line["time, us"])
    colours = ["C1" if line["contender"].startswith("skkd") else "C0" for line in lines]
    times = [line["time, us"] for line in lines]
    bars = axes.barh([line["contender"] for line in lines], times, color=colours)
    axes.bar_label(bars, [f"{time:,.0f}" for time in times], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(1, 3 * max(times))  # room for the numbers
    axes.invert_yaxis()
    axes.set_xlabel("microseconds for the probabilities of one row (shorter is faster)", fontsize=9)
    tidy(axes)


def tidy(axes):
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def main():
    options = parsed()
    options.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore", TeacherMismatchWarning)  # the rows and labels are random
    warnings.filterwarnings("ignore", message="Stochastic Optimizer")
    contests = [(name, contest) for name in options.works for contest in options.contests]
    tables = {"fits": [], "predictions": [], "rows of text": [], "others": []}
    with threadpool_limits(options.threads):
        torch.set_num_threads(options.threads)
        for name, contest in tqdm(contests, "fits", unit="contest"):
            tables["fits"] += fit_times(name, contest, options.rounds)
        tables["predictions"] += predict_times(options.rounds)
        tables["rows of text"] += text_times(options.rounds)
        tables["others"] += other_numbers(options.rounds)
    for title, table in tables.items():
        table = pd.DataFrame(table)
        table.to_csv(options.out / f"{title.replace(' ', '_')}.csv", index=False)
        print(f"\n{title}")
        print(table.to_string(index=False, na_rep="", float_format="{:,.3g}".format))
    if "plain" in options.contests:
        draw(tables["fits"], tables["predictions"], options.out / "speed.png")


def parsed():
    parser = argparse.ArgumentParser(description="Time skkd and other libraries.")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--contests", nargs="+", choices=CONTESTS, default=list(CONTESTS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="one round, and only the fits of work a"
    )
    default = Path(tempfile.gettempdir()) / "speed"
    parser.add_argument("--out", type=Path, default=default, help="folder of CSVs and picture")
    options = parser.parse_args()
    if options.quick:
        options.works, options.rounds = ["a"], 1
    return options


if __name__ == "__main__":
    main()
