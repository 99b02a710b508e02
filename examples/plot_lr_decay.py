"""
A falling learning rate ends the fluctuation of a high one
==========================================================

A high learning rate makes fast progress, but the loss keeps fluctuating: each batch changes the
weights in proportion to the rate. A low rate converges, but slowly. A schedule starts with a high
rate and ends with a low one. This example shows every schedule of :mod:`skkd.schedules`, and then
the effect of five of them on training.
"""

# %%
# All schedules
# -------------
# ``Schedule.simulate`` computes the factor of the learning rate for each batch, without training.
# Here it does so for 100 epochs of 10 batches. Schedules "by epoch" are constant within an epoch,
# and schedules "by batch" change with every batch. Each can follow a warm-up. A grid can search
# schedules as ``lr_decay``, and their parameters by names such as ``lr_decay__gamma``.

import argparse
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.model_selection import train_test_split

from skkd import NeuralClassifier
from skkd.schedules import (
    Constant,
    CosineDecay,
    CosineRestarts,
    CosLog,
    Cyclic,
    ExponentialDecay,
    FlatCosine,
    LinearDecay,
    MultiStepDecay,
    OneCycle,
    StepDecay,
    WarmUp,
)

parser = argparse.ArgumentParser(description="Compare learning-rate schedules.")
parser.add_argument("--quick", action="store_true", help="train with two seeds, not ten")
default = Path(tempfile.gettempdir()) / "plot_lr_decay"
parser.add_argument("--out", type=Path, default=default, help="folder of the figures")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})


def save(figure, name):
    figure.savefig(args.out / name, dpi=120)
    print("figure:", args.out / name)


groups = {
    "by epoch": {
        "Constant": Constant(),
        "StepDecay": StepDecay(step_size=30, gamma=0.3),
        "MultiStepDecay": MultiStepDecay(milestones=(40, 70, 85), gamma=0.3),
        "ExponentialDecay": ExponentialDecay(gamma=0.97),
    },
    "by batch": {
        "LinearDecay": LinearDecay(),
        "CosineDecay": CosineDecay(),
        "FlatCosine": FlatCosine(),
        "OneCycle": OneCycle(rise=0.3),
    },
    "cycles, by batch": {
        "CosineRestarts": CosineRestarts(period=15),
        "CosLog": CosLog(cycles=4),
        "Cyclic": Cyclic(step_size=100),
        'Cyclic\nmode="triangular2"': Cyclic(step_size=100, mode="triangular2"),
    },
    "after a warm-up": {
        "WarmUp\nconstant": WarmUp("constant", n_epochs=20),
        "WarmUp\nStepDecay": WarmUp(StepDecay(step_size=30, gamma=0.3), n_epochs=20),
        "WarmUp\nlinear": WarmUp("linear", n_epochs=20),
        "WarmUp\ncosine": WarmUp("cosine", n_epochs=20),
    },
}

N_EPOCHS, N_BATCHES = 100, 10
epochs = np.arange(N_EPOCHS * N_BATCHES) / N_BATCHES
figure, rows = plt.subplots(4, 4, figsize=(7.6, 7), sharex=True, sharey=True, layout="constrained")
for row, (kind, schedules), color in zip(rows, groups.items(), plt.cm.tab10.colors, strict=False):
    row[0].set_ylabel(f"{kind}\nfactor of the rate")
    for axes, (title, schedule) in zip(row, schedules.items(), strict=True):
        factors = schedule.simulate(len(epochs), batches_per_epoch=N_BATCHES)
        axes.plot(epochs, factors, color=color)
        axes.fill_between(epochs, factors, color=color, alpha=0.12, linewidth=0)
        axes.set_title(title, fontsize=9)
        axes.set(xlim=(0, N_EPOCHS), ylim=(0, 1.08), xticks=(0, 50, 100), yticks=(0, 0.5, 1))
for axes in rows[-1]:
    axes.set_xlabel("epoch")
save(figure, "schedules.png")

# %%
# One network, six schedules
# --------------------------
# The classes are two half moons with so much noise that they overlap. The gradients of the batches
# differ to the end, so training with a high rate does not converge. Everything but the rate is the
# same: a plain network, SGD without momentum, batches of 16, 30 epochs. A rate of 1.0 is good at
# the beginning and far too high at the end. A usual constant rate is 0.1.

X, y = make_moons(3000, noise=0.3, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

BATCH_SIZE, EPOCHS = 16, 30
batches_per_epoch = -(-len(X_train) // BATCH_SIZE)
arms = {
    "constant 1.0": (1.0, Constant()),
    "constant 0.1": (0.1, Constant()),
    "step": (1.0, StepDecay(step_size=10, gamma=0.1)),
    "exponential": (1.0, ExponentialDecay(gamma=0.8)),
    "cosine": (1.0, CosineDecay()),
    "cyclic": (1.0, Cyclic(step_size=5 * batches_per_epoch, base_factor=0.01)),
}


def curves_of(learning_rate, lr_decay, seed):
    """Return the log-loss and the accuracy on the test rows after each epoch."""
    clf = NeuralClassifier(
        (32,),
        preset="plain",
        optimizer="sgd",
        momentum=0.0,
        nesterov=False,
        learning_rate=learning_rate,
        lr_decay=lr_decay,
        batch_size=BATCH_SIZE,
        max_epochs=EPOCHS,
        n_iter_no_change=None,
        random_state=seed,
    ).fit(X_train, y_train, X_val=X_test, y_val=y_test)
    return [[record[name] for record in clf.history_] for name in ("valid_loss", "valid_accuracy")]


seeds = range(2 if args.quick else 10)
results = {name: np.array([curves_of(*arm, seed) for seed in seeds]) for name, arm in arms.items()}

# %%
# The column "worst" is the highest log-loss of any seed. The column "fluctuation" is the standard
# deviation of the log-loss over the last ten epochs, averaged over the seeds.

print(f"\n{len(seeds)} seeds, test rows after the last epoch")
print(f"{'':14}{'log-loss':>9}{'worst':>8}{'fluctuation':>13}{'accuracy':>10}")
for name, curves in results.items():
    losses, accuracies = curves[:, 0], curves[:, 1]
    mean, worst = losses[:, -1].mean(), losses[:, -1].max()
    fluctuation = losses[:, -10:].std(axis=1).mean()
    print(f"{name:14}{mean:9.3f}{worst:8.3f}{fluctuation:13.4f}{accuracies[:, -1].mean():10.3f}")
print()

# %%
# Each thin line is one seed, and the thick line is the median over the seeds. The pale red line
# repeats the median of the first panel. The grey area is the learning rate.

every_epoch = np.arange(1, EPOCHS + 1)
every_batch = np.arange(EPOCHS * batches_per_epoch) / batches_per_epoch
colors = ("tab:red", "0.4", "tab:purple", "tab:blue", "tab:green", "tab:orange")
figure, grid = plt.subplots(2, 3, figsize=(7.6, 5), sharex=True, sharey=True, layout="constrained")
figure.suptitle("Where the learning rate falls, the loss settles", fontsize=11)
reference = np.median(results["constant 1.0"][:, 0], axis=0)
for axes, (name, curves), color in zip(grid.flat, results.items(), colors, strict=True):
    losses = curves[:, 0]
    rate, lr_decay = arms[name]
    factors = lr_decay.simulate(len(every_batch), batches_per_epoch)
    ground = axes.twinx()
    ground.fill_between(every_batch, rate * np.array(factors), color="0.9", linewidth=0)
    ground.set(ylim=(0, 4), yticks=())
    ground.spines[:].set_visible(False)
    axes.set_zorder(ground.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.plot(every_epoch, reference, color="tab:red", alpha=0.35, linewidth=1.2)
    axes.plot(every_epoch, losses.T, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(every_epoch, np.median(losses, axis=0), color=color, linewidth=2.2)
    axes.set_title(name, color=color)
    axes.set(xlim=(0, EPOCHS), ylim=(0.17, 0.4), xticks=(0, 10, 20, 30))
for axes in grid[:, 0]:
    axes.set_ylabel("log-loss of test rows (nats)")
for axes in grid[-1]:
    axes.set_xlabel("epoch")
grid[0, 0].annotate("rate 1.0", (1, 0.177), color="0.35")
save(figure, "training.png")

# %%
# What to see
# -----------
# **The constant 1.0 fluctuates** to the end: the final loss is a matter of luck, as the thin
# lines show.
#
# **Step, exponential and cosine converge.** Their loss fluctuates while the rate is high and falls
# below that of the constant rate when the rate falls. In the end all seeds have nearly the same
# loss. The step shows it best: the loss drops within an epoch of the rate. The three differ little
# here.
#
# **The constant 0.1 is the fair comparison.** It fluctuates far less, but begins more slowly. In
# the end it is better than the high rate, and not as good as the schedules.
#
# **The cyclic rate** raises the loss around each of its peaks, and the loss is lowest where the
# rate is lowest. Training should end there, as it does here after three whole cycles of ten
# epochs. At another time the gain would be lost.
#
# In accuracy the differences are small, because the moons overlap: a falling rate improves the
# probabilities. Its price is that most schedules need the number of epochs beforehand:
# NeuralClassifier stops by itself only if the rate is constant, with ``lr_decay="plateau"``, or
# with ``early_stopping``.
