"""
Initialisation decides whether a deep network can learn at all
==============================================================

Initial weights have to differ between units, or all units of a layer stay equal. They also need the
right size, or the signal vanishes or explodes on its way through the layers. Xavier's and He's
schemes compute the size from the number of inputs of a layer. Schemes of fixed size ignore this
number.
"""

# %%
# Symmetry has to be broken
# -------------------------
# A network with one hidden layer of 16 units learns handwritten digits of 8 by 8 pixels. Its
# weights start at zero, at one constant, or with He's scheme. For the first two skkd raises a
# warning, which is caught and printed. All networks here have ``preset="plain"``, whose biases
# start at zero. The default preset has random biases, which would make the units differ, too.

import argparse
import tempfile
import warnings
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skkd import NeuralClassifier
from skkd.initializers import Constant, He, Normal, Uniform, Xavier, Zeros
from skkd.modules import MLP

parser = argparse.ArgumentParser(description="Compare the initial weights of networks.")
parser.add_argument("--quick", action="store_true", help="two seeds and ten epochs")
default = Path(tempfile.gettempdir()) / "plot_initialization"
parser.add_argument("--out", type=Path, default=default, help="folder of the figures")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)
seeds = range(2 if args.quick else 6)
EPOCHS = 10 if args.quick else 20

plt.rcParams.update(
    {"legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
)


def save(figure, name):
    figure.savefig(args.out / name, dpi=120)
    print("figure:", args.out / name)


X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)


plain = partial(NeuralClassifier, preset="plain")


def fit_quietly(classifier):
    """Fit the classifier, and return it with the messages of its warnings."""
    with warnings.catch_warnings(record=True, action="always") as caught:
        classifier.fit(X_train, y_train, X_val=X_test, y_val=y_test)
    return classifier, [str(warning.message) for warning in caught]


shallow = {}
print("one hidden layer      distinct units  rank  test accuracy")
for name, init in {"zeros": Zeros(), "constant": Constant(0.1), "He": He()}.items():
    clf, messages = fit_quietly(
        plain((16,), init=init, max_epochs=60, learning_rate=0.01, random_state=0)
    )
    weights = clf.module_.linear1.weight.detach().numpy()
    distinct = len(np.unique(weights.round(5), axis=0))
    rank = np.linalg.matrix_rank(weights, tol=1e-3)
    accuracy = clf.score(X_test, y_test)
    shallow[name] = weights, accuracy
    print(f"{name:22}{distinct:14}{rank:6}{accuracy:15.3f}")
print(f"\nthe warning: {fit_quietly(plain((16,), init='zeros', max_epochs=1))[1][0]}\n")

# %%
# Each picture shows the weights of one unit after training. Red weights are positive, blue ones
# negative.

figure, grid = plt.subplots(3, 6, figsize=(7.2, 4), layout="constrained")
figure.suptitle("Units that start equal stay equal: 6 of 16 units after training", fontsize=11)
for row, (name, (weights, accuracy)) in zip(grid, shallow.items(), strict=True):
    limit = max(np.abs(weights).max(), 1e-3)
    for axes, unit in zip(row, weights, strict=False):
        axes.imshow(unit.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set(xticks=(), yticks=())
        axes.spines[:].set(visible=True, color="0.7")
    row[0].set_ylabel(f"{name}\ntest accuracy\n{accuracy:.0%}")
save(figure, "symmetry.png")

# %%
# The signal through the layers
# -----------------------------
# These networks have ten hidden layers of 64 units and are not trained yet. The root mean square of
# the activations measures how much of the signal reaches a layer. (With zeros it is 0, which a
# logarithmic axis cannot show.)

LAYERS = (64,) * 10
schemes = {
    "zeros": (Zeros(), "0.65"),
    "constant 0.01": (Constant(0.01), "0.25"),
    "uniform ±0.05": (Uniform(-0.05, 0.05), "tab:brown"),
    "normal 0.05": (Normal(std=0.05), "tab:purple"),
    "normal 0.3": (Normal(std=0.3), "tab:red"),
    "Xavier": (Xavier(), "tab:blue"),
    "He": (He(), "tab:green"),
}
rows = torch.tensor(StandardScaler().fit_transform(X_train), dtype=torch.float32)


@torch.no_grad()
def activations(network):
    """Return the activations of each hidden layer for all training rows."""
    x, found = rows, []
    for name, layer in network.named_children():
        x = layer(x)
        if name.startswith("activation"):
            found.append(x)
    return found


def untrained(seed, **settings):
    """Return a network that is not trained yet."""
    return MLP(64, 10, generator=torch.Generator().manual_seed(seed), **settings)


def signal(init, activation, seed):
    network = untrained(seed, hidden_layer_sizes=LAYERS, activation=activation, init=init)
    return [float(x.square().mean().sqrt()) for x in activations(network)]


figure, panels = plt.subplots(1, 2, figsize=(7.6, 4), sharey=True, layout="constrained")
figure.suptitle("Which schemes keep the signal through ten layers?", fontsize=11)
layers = np.arange(1, len(LAYERS) + 1)
print("signal in layer 10 over signal in layer 1 (medians)\n                  relu      tanh")
ratios = {}
for axes, activation in zip(panels, ("relu", "tanh"), strict=True):
    for name, (init, color) in schemes.items():
        sizes = np.array([signal(init, activation, seed) for seed in range(6)])
        if not sizes.any():
            continue
        middle = np.median(sizes, axis=0)
        ratios.setdefault(name, []).append(middle[-1] / middle[0])
        axes.fill_between(layers, sizes.min(axis=0), sizes.max(axis=0), color=color, alpha=0.15)
        axes.plot(layers, middle, color=color, marker="o", markersize=3, label=name)
    axes.set(title=activation, xlabel="hidden layer", yscale="log", xticks=layers, ylim=(1e-8, 1e3))
for name, pair in ratios.items():
    print(f"{name:14}" + "".join(f"{ratio:10.1g}" for ratio in pair))
panels[0].set_ylabel("size of the activations (RMS)")
figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=6)
save(figure, "signal.png")

# %%
# Which schemes learn
# -------------------
# Here the same networks are trained with Adam. The dotted line is the loss of guessing,
# ``log(10)``.

deep = partial(plain, batch_size=64, max_epochs=EPOCHS, n_iter_no_change=None)
figure, panels = plt.subplots(1, 2, figsize=(7.6, 4), sharey=True, layout="constrained")
figure.suptitle("Networks that lose the signal do not learn", fontsize=11)
print(f"\nten hidden layers, test accuracy after {EPOCHS} epochs, mean of {len(seeds)} seeds")
print(f"{'':14}{'relu':>10}{'tanh':>10}")
learnt = {name: [] for name in schemes}
for axes, activation in zip(panels, ("relu", "tanh"), strict=True):
    for name, (init, color) in schemes.items():
        fits = [
            fit_quietly(deep(LAYERS, activation, init=init, random_state=seed))[0]
            for seed in (seeds if name not in ("zeros", "constant 0.01") else [0])
        ]
        curves = np.array([clf.loss_curve_ for clf in fits])
        epochs = np.arange(1, curves.shape[1] + 1)
        axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.15)
        axes.plot(epochs, np.median(curves, axis=0), color=color, label=name)
        learnt[name].append(np.mean([clf.score(X_test, y_test) for clf in fits]))
    axes.axhline(np.log(10), color="0.4", linestyle=":")
    axes.set(
        title=activation,
        xlabel="epoch",
        yscale="log",
        xlim=(1, EPOCHS),
        xticks=(1, 5, *range(10, EPOCHS + 1, 5)),
    )
panels[0].set_ylabel("training loss (nats)")
figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
for name, pair in learnt.items():
    print(f"{name:14}" + "".join(f"{accuracy:10.3f}" for accuracy in pair))
save(figure, "training.png")

# %%
# Biases, and dead ReLUs
# ----------------------
# A ReLU that is zero for every row has no gradient and cannot recover: it is dead. A small positive
# bias is said to prevent this. These networks have six hidden layers and He's weights, and all
# biases start at one value. Dead units are counted before training, after training, and after
# training with ten times the learning rate.


def dead_share(network):
    return float(torch.stack([(x == 0).all(dim=0) for x in activations(network)]).double().mean())


SIX = (64,) * 6
biases = (-1.0, 0.0, 0.1, 1.0)
moments = {
    "at the start": ("0.6", None),
    "trained, rate 0.001": ("tab:blue", 0.001),
    "trained, rate 0.01": ("tab:red", 0.01),
}


def dead_and_accuracy(bias, learning_rate, seed):
    if learning_rate is None:
        return dead_share(untrained(seed, hidden_layer_sizes=SIX, bias_init=bias)), np.nan
    clf = deep(SIX, bias_init=bias, learning_rate=learning_rate, random_state=seed)
    clf.fit(X_train, y_train)
    return dead_share(clf.module_), clf.score(X_test, y_test)


found = np.array(
    [
        [[dead_and_accuracy(bias, rate, seed) for bias in biases] for _, rate in moments.values()]
        for seed in seeds
    ]
)  # seed, moment, bias, (dead, accuracy)

print("\n" + f"{'biases start at':28}" + "".join(f"{bias:9}" for bias in biases))
for what, values in (("dead", found[..., 0]), ("accuracy", found[..., 1])):
    for name, means in zip(moments, values.mean(axis=0), strict=True):
        if not np.isnan(means).any():
            print(f"{what}, {name}".ljust(28) + "".join(f"{mean:9.3f}" for mean in means))
print()

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
places = np.arange(len(biases))
for i, (name, (color, _)) in enumerate(moments.items()):
    dead = 100 * found[:, i, :, 0]
    axes.bar(places + 0.27 * (i - 1), dead.mean(axis=0), 0.25, color=color, label=name, alpha=0.6)
    for seed_values in dead:
        axes.plot(places + 0.27 * (i - 1), seed_values, ".", color="0.15", markersize=3)
axes.set(xticks=places, xticklabels=biases, xlabel="all biases start at")
axes.set(ylabel="dead units (%)", title="Negative biases and a high learning rate make units dead")
axes.legend()
save(figure, "dead_units.png")

# %%
# What to see
# -----------
# **Symmetry.** With the constant all sixteen units have the same picture: equal weights get equal
# gradients, so training never makes them differ. The network is no better than one with a single
# unit. Zeros are worse: the output does not depend on the input, so no gradient reaches the
# weights, and only the biases of the output learn. Random weights give sixteen different units.
#
# **Size.** A uniform or normal scheme of fixed size suits one number of inputs only. If its weights
# are too small, each layer shrinks the signal until nothing is left. If they are too large, each
# ReLU layer multiplies it. With He's scheme the signal keeps its size through ReLUs. Xavier's
# scheme does not account for the half of the signal that a ReLU drops, so each layer loses a
# little. With tanh, for which Xavier's scheme was made, the signal falls slowly until tanh is
# nearly linear.
#
# **A signal of constant size is not enough.** With tanh the scheme with the largest weights seems
# to keep the signal perfectly. But its units are at -1 and 1, where tanh is flat and gradients are
# small.
#
# **Learning** depends on the signal. Where it has vanished, the loss stays nearly that of guessing.
# Where it explodes, the loss starts in the hundreds, and most epochs are spent on reducing it.
# Xavier and He learn equally fast, *with either activation*; on test rows Xavier is even a little
# ahead, with ReLUs, too. Over ten layers it loses too little of the signal to matter: the
# theory separates good schemes from hopeless ones, but not good ones from better ones.
#
# **Biases.** With negative biases many units are dead from the start, and the network hardly
# learns. Between zero and a small positive bias there is no difference: with weights of the right
# size hardly any unit is dead at the start. A high learning rate does make units die, though here
# the network has enough others, and is no less accurate. So zeros are a good default. If many units
# die, lower the learning rate first.
