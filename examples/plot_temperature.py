"""
A temperature shows what a teacher knows about wrong classes
============================================================

A good teacher is almost certain of most digits, and then its probabilities contain hardly more than
the label does. The rest of its knowledge is in the small probabilities: that this 8 looks a little
like a 3 and not at all like a 6. A temperature ``T`` makes them larger,

.. math:: \\mathrm{softmax}(t / T)_k = p_k^{1/T} \\,/\\, \\textstyle\\sum_j p_j^{1/T}

for a teacher with logits ``t`` or probabilities ``p``. Whether a higher temperature helps depends
on the teacher. It helps with networks. With the exact zeros of a forest it can do harm.
"""

# %%
# Two teachers and one student
# ----------------------------
# A bag of four networks and a forest learn from 1000 handwritten digits of 8 by 8 pixels.
# Both have an accuracy of about 97 per cent.

import argparse
import tempfile
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skkd import DistilledClassifier, NeuralClassifier
from skkd.losses import entropy, kl_divergence, softmax_with_temperature, temper

parser = argparse.ArgumentParser(description="Show the effect of a temperature on soft labels.")
parser.add_argument("--quick", action="store_true", help="two seeds and three temperatures")
default = Path(tempfile.gettempdir()) / "plot_temperature"
parser.add_argument("--out", type=Path, default=default, help="folder of the figures")
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})


def save(figure, name):
    figure.savefig(args.out / name, dpi=120)
    print("figure:", args.out / name)


X, y = load_digits(return_X_y=True)


def split(seed):
    return train_test_split(X, y, train_size=1000, stratify=y, random_state=seed)


@cache
def fit_teachers(seed):
    """Fit and return the bag and the forest of a seed."""
    X_train, _, y_train, _ = split(seed)
    network = NeuralClassifier(
        (200,),
        preset="plain",
        dropout=0.4,
        learning_rate=0.003,
        lr_decay="cosine",
        max_epochs=30,
    )
    bag = BaggingClassifier(network, 4, bootstrap=False, random_state=seed)
    forest = RandomForestClassifier(200, random_state=seed)
    return bag.fit(X_train, y_train), forest.fit(X_train, y_train)


X_train, X_test, y_train, y_test = split(seed=0)
bag, forest = fit_teachers(seed=0)

# %%
# A forest's probability of a class is the share of its trees that vote for it. Many are exactly
# zero. A zero stays zero at every temperature, so ``proba_floor`` replaces it first. The floor is
# an assumption: with 200 trees the smallest share that is not zero is 0.005, and a floor of 1e-7
# claims that a class without a vote is fifty thousand times less likely than a class with one vote.

teachers = {
    "networks": (bag, 1e-7, "tab:blue"),
    "forest, floor 0.01": (forest, 1e-2, "tab:green"),
    "forest, floor 1e-7": (forest, 1e-7, "tab:red"),
}
probabilities = {
    name: torch.tensor(teacher.predict_proba(X_test)) for name, (teacher, *_) in teachers.items()
}
zeros = (probabilities["forest, floor 1e-7"] == 0).double().mean()
print(f"of the forest's probabilities for test rows {zeros:.0%} are exactly zero")

# %%
# One digit at four temperatures
# ------------------------------
# Both teachers predict the chosen digit correctly, and the forest gives at least three classes a
# probability of zero. Of all such digits it is the one for which the networks give the second most
# likely class the highest probability. Crosses mark the forest's exact zeros.

certain = (probabilities["forest, floor 1e-7"] == 0).numpy()
right = (bag.predict(X_test) == y_test) & (forest.predict(X_test) == y_test)
second_guess = probabilities["networks"].sort(dim=1).values[:, -2].numpy()
row = np.argmax(np.where(right & (certain.sum(axis=1) >= 3), second_guess, 0))

figure = plt.figure(figsize=(7.6, 4.8), layout="constrained")
figure.suptitle(f"This is a {y_test[row]}. What else might it be?", fontsize=11)
left, right_side = figure.subfigures(1, 2, width_ratios=[1, 4.4])
picture = left.subplots()
picture.imshow(X_test[row].reshape(8, 8), cmap="gray_r")
picture.set(xticks=(), yticks=(), xlabel="×: no tree votes for it")
picture.spines[["top", "right"]].set_visible(True)
grid = right_side.subplots(3, 4, sharex=True, sharey=True)
for panels, (name, (_, floor, color)) in zip(grid, teachers.items(), strict=True):
    p = probabilities[name][[row]]
    for axes, T in zip(panels, (1, 2, 4, 10), strict=True):
        axes.bar(range(10), temper(p, T, floor)[0].numpy(), color=color)
        if "forest" in name:
            excluded = np.flatnonzero(certain[row])
            axes.plot(excluded, [0.93] * len(excluded), "x", color="0.4", markersize=4)
        axes.set(ylim=(0, 1), yticks=(0, 0.5, 1), xticks=range(10))
        axes.tick_params(axis="x", labelsize=7)
    panels[0].set_ylabel(name.replace(", ", "\n") + "\nsoft label")
for axes, T in zip(grid[0], (1, 2, 4, 10), strict=True):
    axes.set_title(f"T = {T}")
for axes in grid[-1]:
    axes.set_xlabel("digit")
save(figure, "digit.png")

# %%
# Entropy, and the factor T^2
# ---------------------------
# The entropy of the soft labels grows with ``T``, towards that of a uniform distribution,
# ``log(10)``. The gradient for a student with logits ``z`` shrinks as ``1/T^2``, and the factor
# ``T^2`` of the distillation loss compensates for this. For centred logits of K classes the product
# tends to ``(z - t) / K``, the gradient of a squared error between logits [1]_. The student here is
# a small network that was trained on 150 labels.

STUDENT = {
    "preset": "plain",  # among other things without label smoothing
    "hidden_layer_sizes": (32,),
    "learning_rate": 0.01,
    "lr_decay": "cosine",
    "max_epochs": 60,
    "batch_size": 32,
}
N_ROWS = 150
student = NeuralClassifier(**STUDENT, random_state=0).fit(X_train[:N_ROWS], y_train[:N_ROWS])


def centred(logits):
    return logits - logits.mean(dim=1, keepdim=True)


t = centred(probabilities["networks"].log())
z = centred(torch.tensor(student.predict_log_proba(X_test))).requires_grad_()


def teacher_gradient(T):
    """Return the gradient of the KL divergence at temperature T with respect to z."""
    loss = kl_divergence(softmax_with_temperature(t, T), z / T).sum()
    return torch.autograd.grad(loss, z)[0]


def size(gradients):
    """Return the mean Euclidean length of the rows."""
    return float(gradients.norm(dim=1).mean())


limit = (z - t).detach() / 10
temperatures = np.geomspace(1, 100, 25)
gradients = [teacher_gradient(T) for T in temperatures]

figure, (left, right_side) = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
for name, (_, floor, color) in teachers.items():
    curve = [entropy(temper(probabilities[name], T, floor)).mean() for T in temperatures]
    left.plot(temperatures, curve, color=color, label=name)
left.axhline(np.log(10), color="0.4", linestyle=":", label="uniform: log(10)")
left.set(xscale="log", xlabel="temperature T", ylabel="mean entropy (nats)", ylim=(0, None))
left.set_title("Soft labels become softer")
left.legend(frameon=False, loc="lower right")

scaled = [T**2 * gradient for T, gradient in zip(temperatures, gradients, strict=True)]
right_side.plot(temperatures, list(map(size, gradients)), color="tab:purple", label="of KL alone")
right_side.plot(temperatures, list(map(size, scaled)), color="tab:orange", label="of T² · KL")
right_side.axhline(size(limit), color="0.4", linestyle=":", label="(z − t) / 10")
right_side.set(
    xscale="log", yscale="log", xlabel="temperature T", ylabel="mean length of the gradient"
)
right_side.set_title("T² keeps the size of the gradient")
right_side.legend(frameon=False, loc="lower left")
for axes in (left, right_side):
    axes.set(xlim=(1, 100), xticks=(1, 2, 4, 10, 20, 100), xticklabels=(1, 2, 4, 10, 20, 100))
    axes.minorticks_off()
save(figure, "entropy_and_gradient.png")

print("\n   T  length of T² · gradient  distance from its limit")
for T in (1, 4, 20, 100):
    gradient = T**2 * teacher_gradient(T)
    print(f"{T:4}{size(gradient):25.3f}{size(gradient - limit) / size(limit):24.1%}")

# %%
# The effect on the student
# -------------------------
# The student gets 150 of the teachers' 1000 rows, and does not use their labels: ``alpha=1``. For
# comparison the same network learns from the 150 labels alone. Each seed has its own rows, teachers
# and students. All students train for the same number of steps.

TEMPERATURES = (1, 4, 20) if args.quick else (1, 2, 4, 10, 20)


def evaluate(classifier, X_test, y_test):
    return classifier.score(X_test, y_test), log_loss(y_test, classifier.predict_proba(X_test))


def run(seed):
    """Return the scores of one seed: a pair per temperature, for each teacher and for labels.

    A pair is accuracy and log-loss on the test rows.
    """
    X_train, X_test, y_train, y_test = split(seed)
    bag, forest = fit_teachers(seed=seed)
    X_few, _, y_few, _ = train_test_split(
        X_train, y_train, train_size=N_ROWS, stratify=y_train, random_state=seed
    )
    on_labels = NeuralClassifier(**STUDENT, random_state=seed).fit(X_few, y_few)
    scores = {"labels": [evaluate(on_labels, X_test, y_test)] * len(TEMPERATURES)}
    for name, (_, floor, _) in teachers.items():
        taught = DistilledClassifier(
            bag if name == "networks" else forest,
            alpha=1.0,
            proba_floor=floor,
            **STUDENT,
            random_state=seed,
        )
        scores[name] = [
            evaluate(taught.set_params(temperature=T).fit(X_few, y_few), X_test, y_test)
            for T in TEMPERATURES
        ]
    return scores


runs = [run(seed) for seed in range(2 if args.quick else 10)]
scores = {name: np.array([scores[name] for scores in runs]) for name in runs[0]}

print(f"\n{f'{len(runs)} seeds':30}" + "".join(f"{f'T = {T}':>9}" for T in TEMPERATURES))
for column, what in enumerate(("accuracy", "log-loss")):
    for name, values in scores.items():
        means = values.mean(axis=0)[:, column]
        print(f"{f'{what}: {name}':30}" + "".join(f"{mean:9.3f}" for mean in means))
print()

# %%
# The seeds differ more than the students do, because some draws of 150 rows are better than others.
# So each student is compared with the network that learned from the labels of the same rows. Dots
# are the means of these differences over the seeds, bars their standard deviations.

figure, panels = plt.subplots(1, 2, figsize=(7.6, 3.6), sharex=True, layout="constrained")
figure.suptitle("A temperature helps with networks, and harms with a forest and a tiny floor")
places = np.arange(len(TEMPERATURES))
for column, axes in enumerate(panels):
    axes.axhline(0, color="0.4", linestyle=":", label="labels alone")
    for shift, (name, (*_, color)) in zip((0, 0.08, -0.08), teachers.items(), strict=True):
        gains = (scores[name] - scores["labels"])[:, :, column]
        means, spreads = gains.mean(axis=0), gains.std(axis=0)
        axes.errorbar(places + shift, means, spreads, marker="o", color=color, label=name)
    axes.set(xticks=places, xticklabels=TEMPERATURES, xlabel="temperature T")
panels[0].set(title="accuracy: higher is better", ylabel="difference from labels alone")
panels[1].set(title="log-loss: lower is better", ylabel="difference (nats)")
panels[0].legend(frameon=False)
save(figure, "student.png")

# %%
# What to see
# -----------
# **The digit.** At T = 1 the networks give probability to the digit and one other class. At 2 and 4
# one can see which others it resembles. At 10 all bars are nearly alike, though their order stays.
# With the small floor the forest's soft labels look well at first. But as ``T`` grows, the gap
# between "no vote" and "one vote" becomes as large as that between the digit and all the others.
# The floor of 0.01 closes it.
#
# **The entropy.** At a low temperature the networks are much more certain than the forest, so a
# higher temperature shows more of what they know. From T = 20 on all soft labels are almost
# uniform: the information is in tiny differences, and only the factor ``T^2`` keeps their gradient
# large enough. With this factor the gradient converges, and ``alpha`` means the same at T = 4 and
# at T = 100. The length of the gradient converges early, its direction later, as the table shows.
#
# **The student.** With the networks as teacher the student is better than the network that learned
# from labels, and more so at a higher temperature. From T = 4 on the temperature hardly matters.
# (Hinton et al. found an optimum between 2.5 and 4 for very small students. It does not show here.)
#
# The forest is as accurate as the networks, yet its student gains little at best. With the larger
# floor the student's log-loss is worse than that of labels alone: the student copies the forest's
# lack of confidence. With the floor of 1e-7, which is the default, raising ``T`` does harm: the
# student memorises which classes happened to get no vote. So with a forest stay at T = 1, or raise
# ``proba_floor`` to about the vote of a tree along with the temperature.
#
# .. [1] Hinton, Vinyals and Dean (2015), "Distilling the knowledge in a neural network",
#    arXiv:1503.02531.
