"""
A first network, beside MLPClassifier
=====================================

``NeuralClassifier`` takes the table and the labels as they are: it standardises the
columns itself and answers with the labels it was given. Dropout and a learning rate
that falls along a cosine are a word or two each.
"""

# %%
# The data
# --------
# Handwritten digits of 8 by 8 pixels, as a DataFrame with a column for each pixel. The
# labels are words.

import argparse
import importlib.util
import tempfile
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skkd import NeuralClassifier

X, y = load_digits(return_X_y=True, as_frame=True)
words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
y = y.map(dict(enumerate(words)))
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
print(f"{len(X_train)} rows to train on, {len(X_test)} to test, {X.shape[1]} columns")

# %%
# Two networks
# ------------
# The same layers. MLPClassifier needs a scaler in front; it stops by itself when its
# loss stands still.

mlp = make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=500, random_state=0))
mlp.fit(X_train, y_train)

# %%
# NeuralClassifier stops by itself as well, but only at a constant learning rate: a
# schedule runs to its end. ``X_val`` is watched after each epoch; without
# ``early_stopping`` it decides nothing, so it may be the test rows, to be drawn below.

clf = NeuralClassifier(
    (64,),
    dropout=0.4,
    learning_rate=0.01,
    lr_decay="cosine",
    max_epochs=60,
    random_state=0,
)
clf.fit(X_train, y_train, X_val=X_test, y_val=y_test)

# %%
# What came of it
# ---------------

print(f"{'':18}{'accuracy':>10}{'log-loss':>10}{'epochs':>8}")
for name, model, epochs in [
    ("MLPClassifier", mlp, mlp[-1].n_iter_),
    ("NeuralClassifier", clf, clf.n_iter_),
]:
    accuracy = model.score(X_test, y_test)
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:18}{accuracy:10.3f}{loss:10.3f}{epochs:8d}")

print("the first test rows:", ", ".join(clf.predict(X_test[:3])))


# %%
# The training, drawn
# -------------------
# At first the loss on test rows lies below that on training rows, because dropout works
# in training alone. As the learning rate falls to zero, the test loss stands still.


def draw(path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    epochs = [record["epoch"] for record in clf.history_]

    def curve(name):
        return [record[name] for record in clf.history_]

    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(7, 5.5), sharex=True, height_ratios=[2.2, 1], layout="constrained"
    )
    top.plot(epochs, curve("train_loss"), color="tab:blue", label="training rows")
    top.plot(epochs, curve("valid_loss"), color="tab:orange", label="test rows")
    top.set(ylabel="log-loss", yscale="log", title="NeuralClassifier on handwritten digits")
    top.legend(frameon=False)
    bottom.plot(epochs, curve("learning_rate"), color="tab:green")
    bottom.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None), xlim=(1, epochs[-1]))
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.align_ylabels()
    figure.savefig(path, dpi=120)
    print("the figure is in", path)


if importlib.util.find_spec("matplotlib"):
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "plot_quickstart.png"
    parser.add_argument("--out", type=Path, default=default, help="where the figure goes")
    draw(parser.parse_args().out)
else:
    print("without matplotlib there is no figure: pip install matplotlib")
