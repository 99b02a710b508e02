"""
BatchNorm, dropout and label smoothing each solve one problem
=============================================================

BatchNorm makes a deep network less sensitive to its weights, its input and its learning rate.
Dropout keeps it from memorising wrong labels. Label smoothing keeps it from being too certain. Each
picture also shows a case in which the method does not help.
"""

# %%
# BatchNorm: two modes
# --------------------
# In training BatchNorm standardises each unit by the mean and the variance of the *batch*, so the
# output for a row depends on the other rows of its batch. For inference it keeps running averages,
# so the output depends on the row alone. The figure shows both modes of one fitted network. All
# networks of this example have ``preset="plain"``, so that each has only the regulariser that is
# studied.

import argparse
import tempfile
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skkd import NeuralClassifier
from skkd.initializers import Normal

parser = argparse.ArgumentParser(description="What three regularisers do, and when.")
parser.add_argument("--quick", action="store_true", help="fewer seeds and values")
default = Path(tempfile.gettempdir()) / "plot_regularization"
parser.add_argument("--out", type=Path, default=default, help="folder of the figures")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
plt.rcParams.update({"font.size": 9, "legend.frameon": False})


def save(figure, name):
    figure.savefig(args.out / name, dpi=120)
    print("figure:", args.out / name)


X, y = load_digits(return_X_y=True)
split = partial(train_test_split, train_size=900, stratify=y)
X_train, X_test, y_train, y_test = split(X, y, random_state=0)
deep = partial(
    NeuralClassifier,
    (64,) * 6,
    preset="plain",
    learning_rate=0.01,
    lr_decay="cosine",
    batch_size=64,
    max_epochs=10,
)

# Scaled here, so that the torch module below gets the same rows.
scaler = StandardScaler().fit(X_train)
clf = deep(batch_norm=True, preprocessor=None, random_state=0)
clf.fit(scaler.transform(X_train), y_train)
rows = torch.tensor(scaler.transform(X_test), dtype=torch.float32)
proba = clf.predict_proba(rows.numpy())
row = np.argmin(np.abs(proba.max(axis=1) - 0.95))  # its probability is about 0.95
label = proba[row].argmax()
running_mean = clf.module_.batch_norm1.running_mean[0].item()

rng = np.random.default_rng(0)
sizes, means, probabilities = np.repeat([2, 8, 32, 128], 60), [], []
module = clf.module_.train()
with torch.no_grad():
    for size in sizes:
        batch = rows[[row, *rng.choice(len(rows), size - 1)]]
        means.append(module.linear1(batch)[:, 0].mean().item())
        probabilities.append(torch.softmax(module(batch), dim=1)[0, label].item())

figure, panels = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
figure.suptitle("In training the output for a row depends on the rest of its batch", fontsize=11)
drawn = [
    (means, running_mean, "mean of the batch, first unit"),
    (probabilities, proba[row, label], f"probability that one row is a {label}"),
]
for axes, (values, line, ylabel) in zip(panels, drawn, strict=True):
    jitter = np.exp(rng.uniform(-0.25, 0.25, len(sizes)))
    axes.plot(
        sizes * jitter,
        values,
        ".",
        color="tab:blue",
        alpha=0.5,
        label="training mode, 60 batches each",
    )
    axes.axhline(line, color="tab:orange", linewidth=2, label="inference")
    axes.set(xscale="log", xlabel="rows in the batch", ylabel=ylabel)
    axes.set(xticks=(2, 8, 32, 128), xticklabels=(2, 8, 32, 128))
    axes.minorticks_off()
figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
save(figure, "batch_norm_modes.png")

# %%
# BatchNorm: less sensitivity
# ---------------------------
# A network of six hidden layers is trained with and without BatchNorm, for the same number of
# epochs. One parameter is varied at a time.

thin = slice(None, None, 2) if args.quick else slice(None)
varied = {
    "learning rate": [0.001, 0.003, 0.01, 0.03, 0.1][thin],
    "size of the initial weights": [0.01, 0.03, 0.1, 0.3, 1.0][thin],
    "scale of the input": [0.001, 0.03, 1.0, 30.0, 1000.0][thin],
}


def deep_accuracy(setting, value, batch_norm, seed):
    scale, settings = 1.0, {}
    if setting == "learning rate":
        settings = {"learning_rate": value}
    elif setting == "size of the initial weights":
        settings = {"init": Normal(std=value)}
    else:
        scale, settings = value, {"preprocessor": None}
    X_train, X_test, y_train, y_test = split(X * scale, y, random_state=seed)
    clf = deep(batch_norm=batch_norm, random_state=seed, **settings)
    return clf.fit(X_train, y_train).score(X_test, y_test)


seeds = range(1 if args.quick else 4)
figure, panels = plt.subplots(1, 3, figsize=(7.6, 3.2), sharey=True, layout="constrained")
figure.suptitle("With BatchNorm a deep network tolerates poor parameters", fontsize=11)
print(f"\nsix hidden layers, test accuracy, mean of {len(seeds)} seed(s)")
for axes, (setting, values) in zip(panels, varied.items(), strict=True):
    print(f"{setting:30}" + "".join(f"{value:8g}" for value in values))
    for batch_norm, color in ((False, "0.5"), (True, "tab:blue")):
        name = "with BatchNorm" if batch_norm else "without"
        found = np.array(
            [[deep_accuracy(setting, v, batch_norm, seed) for v in values] for seed in seeds]
        )
        axes.plot(values, found.mean(axis=0), marker="o", color=color, label=name)
        axes.fill_between(values, found.min(axis=0), found.max(axis=0), color=color, alpha=0.2)
        print(f"  {name:28}" + "".join(f"{mean:8.3f}" for mean in found.mean(axis=0)))
    axes.set(xscale="log", xlabel=setting, ylim=(0, 1))
panels[0].set_ylabel("accuracy on test rows")
panels[0].legend(loc="lower left")
save(figure, "batch_norm.png")

# %%
# Clean and noisy labels
# ----------------------
# A wide network learns from only 300 rows. In the *clean* data all labels are right. In the *noisy*
# data three labels in ten are drawn at random, in training rows and test rows alike, so the best
# possible accuracy is about 73 per cent.

noises = {"clean": 0.0, "noisy": 0.3}
N_ROWS = 300
DROPOUT = (0.0, 0.4, 0.8) if args.quick else (0.0, 0.2, 0.4, 0.6, 0.8)
SMOOTHING = 0.1
wide = partial(
    NeuralClassifier,
    (128, 128),
    preset="plain",
    learning_rate=0.002,
    batch_size=32,
    max_epochs=30,
    n_iter_no_change=None,
    preprocessor=None,  # all pixels lie between 0 and 1
)


def noisy_rows(noise, seed):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(len(y)) < noise, rng.integers(0, 10, len(y)), y)
    return train_test_split(X / 16, labels, train_size=N_ROWS, random_state=seed)


def fit_wide(noise, seed, **settings):
    """Fit a wide network, and return its scores on training and test rows."""
    X_train, X_test, y_train, y_test = noisy_rows(noise, seed)
    clf = wide(random_state=seed, **settings).fit(X_train, y_train)
    proba, logits = clf.predict_proba(X_test), np.sort(clf.decision_function(X_test), axis=1)
    return {
        "train accuracy": clf.score(X_train, y_train),
        "test accuracy": clf.score(X_test, y_test),
        "log-loss": log_loss(y_test, proba),
        "confidence": proba.max(axis=1),
        "right": proba.argmax(axis=1) == y_test,
        "logit gap": logits[:, -1] - logits[:, -2],
    }


seeds = range(2 if args.quick else 6)
dropped = {
    (kind, p): [fit_wide(noise, seed, dropout=p) for seed in seeds]
    for kind, noise in noises.items()
    for p in DROPOUT
}
smoothed = {
    kind: [fit_wide(noise, seed, label_smoothing=SMOOTHING) for seed in seeds]
    for kind, noise in noises.items()
}

# %%
# Dropout
# -------
# In training each hidden unit is dropped with probability ``p``, and what remains is scaled
# by ``1 / (1 - p)``. In inference no unit is dropped. The left panel shows both modes of one
# network for one row: each training pass is another network, and inference is roughly the average
# of these networks.

X_train, X_test, y_train, y_test = noisy_rows(noise=0.3, seed=0)
clf = wide(dropout=0.4, random_state=0).fit(X_train, y_train)
proba = clf.predict_proba(X_test)
row = np.argmin(np.abs(proba.max(axis=1) - 0.6))
label = proba[row].argmax()
torch.manual_seed(0)
copies = torch.tensor(X_test[[row] * 1000], dtype=torch.float32)
with torch.no_grad():
    passes = torch.softmax(clf.module_.train()(copies), dim=1)[:, label].numpy()

figure, (left, *panels) = plt.subplots(1, 3, figsize=(7.6, 3.4), layout="constrained")
figure.suptitle("Dropout closes the gap where there are wrong labels to memorise")
left.hist(passes, bins=20, range=(0, 1), color="tab:blue", alpha=0.6, label="training mode")
left.axvline(proba[row, label], color="tab:orange", linewidth=2, label="inference")
left.set(title="one row, 1000 passes", xlabel=f"probability that it is a {label}", yticks=())
left.set_ylim(top=1.3 * left.get_ylim()[1])
left.legend(loc="upper left", fontsize=8)
for axes, kind in zip(panels, noises, strict=True):
    for which, color in (("train accuracy", "0.5"), ("test accuracy", "tab:blue")):
        values = np.array([[fit[which] for fit in dropped[kind, p]] for p in DROPOUT])
        axes.plot(DROPOUT, values.mean(axis=1), marker="o", color=color, label=which)
        axes.fill_between(DROPOUT, values.min(axis=1), values.max(axis=1), color=color, alpha=0.2)
    axes.set(title=f"{kind} labels", xlabel="dropout p", ylim=(0.45, 1.02), xticks=DROPOUT)
panels[0].set_ylabel("accuracy")
panels[0].legend(loc="lower left")
save(figure, "dropout.png")

# %%
# Label smoothing
# ---------------
# The targets are ``1 - eps + eps / 10`` and ``eps / 10`` in place of 1 and 0, so the best logits
# are finite. A network is *calibrated* if it is right in 80 of 100 cases in which its confidence is
# 80 %: this is the dotted line. The area of a dot is the share of test rows.

BINS = np.linspace(0, 1, 11)


def pooled(fits, what):
    return np.concatenate([fit[what] for fit in fits])


def reliability(fits):
    """Return the mean confidence, the accuracy and the share of rows of each confidence bin."""
    confidence, right = pooled(fits, "confidence"), pooled(fits, "right")
    bins = np.digitize(confidence, BINS[1:-1])
    occupied = [bins == b for b in range(10) if (bins == b).sum() >= 10]
    return np.array([(confidence[b].mean(), right[b].mean(), b.mean()) for b in occupied]).T


def calibration_error(fits):
    confidence, accuracy, share = reliability(fits)
    return np.sum(share * np.abs(accuracy - confidence))


figure, grid = plt.subplots(2, 2, figsize=(7, 5.8), sharex="row", layout="constrained")
figure.suptitle("Label smoothing lowers confidence, even where it was not too high", fontsize=11)
for (top, bottom), kind in zip(grid.T, noises, strict=True):
    top.plot([0, 1], [0, 1], color="0.4", linestyle=":")
    for name, fits, color in (
        ("hard labels", dropped[kind, 0.0], "tab:blue"),
        (f"smoothed by {SMOOTHING}", smoothed[kind], "tab:orange"),
    ):
        confidence, accuracy, share = reliability(fits)
        top.plot(confidence, accuracy, color=color, label=name)
        top.scatter(confidence, accuracy, 300 * share, color=color, alpha=0.6)
        gaps = np.clip(pooled(fits, "logit gap"), 0, 15)
        bottom.hist(gaps, bins=30, range=(0, 15), color=color, alpha=0.5, density=True)
    top.set(title=f"{kind} labels", xlabel="confidence", ylabel="share that is right")
    top.text(0.98, 0.04, "below the line: too sure", ha="right", transform=top.transAxes)
    bottom.set(xlabel="logit gap: the highest minus the second", ylabel="density", yticks=())
grid[0, 0].legend(loc="upper left")
save(figure, "label_smoothing.png")

# %%
# The column "calibr." of the next table is the calibration error, the mean distance from the dotted
# line.

print(f"\n{len(seeds)} seeds{'':16}{'train acc':>10}{'test acc':>10}{'log-loss':>10}{'calibr.':>9}")
for kind in noises:
    arms = {f"dropout {p}": dropped[kind, p] for p in DROPOUT}
    arms[f"smoothing {SMOOTHING}"] = smoothed[kind]
    for name, fits in arms.items():
        numbers = [
            np.mean([fit[what] for fit in fits])
            for what in ("train accuracy", "test accuracy", "log-loss")
        ]
        print(
            f"{kind}, {name:16}"
            + "".join(f"{number:10.3f}" for number in numbers)
            + f"{calibration_error(fits):9.3f}"
        )
print()

# %%
# What to see
# -----------
# **BatchNorm, two modes.** In a batch of two the output hardly depends on the row itself: each unit
# only shows which of the two rows is higher. The larger the batch, the closer its mean is to the
# running average, which inference uses. This noise is why small batches and BatchNorm do not go
# together, and why skkd merges a last batch of one row with the one before.
#
# **BatchNorm, deep.** With BatchNorm the network learns in spite of weights too small for any
# signal to pass, an input a thousand times too large or too small, or a learning rate that is too
# high for the plain network. It does not correct everything: weights that start very large learn
# slowly, because the same step is small in comparison. And *with good parameters it gains little or
# nothing*: He's weights, standardised input and a moderate rate do as well. At a low rate it is
# even behind. It protects from poor parameters, and does not raise accuracy.
#
# **Dropout.** The network memorises the wrong labels, and its training accuracy is far above what
# is possible on test rows. Dropout lowers the training accuracy and raises the test accuracy. With
# clean labels there is little to gain: the gap is small, and dropout does not help. Too much of it
# hurts with both kinds of labels.
#
# **Label smoothing.** The gap between the logits is smaller, so the network is less certain of
# everything. With noisy labels it was far too certain, and comes nearer to the dotted line: better
# log-loss, better calibration, and about the same accuracy. With clean labels it was calibrated
# already, and smoothing makes it not certain enough: slightly more accurate, but with a clearly
# worse log-loss. So smooth where labels may be wrong. If probabilities matter, look at the
# calibration curve first.
