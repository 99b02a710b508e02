"""
All learning-rate schedules
===========================

``Schedule.simulate`` gives the factors of the learning rate batch by batch, without
training anything. Here is every schedule over 100 epochs of 10 batches each.
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from skkd import schedules

EPOCHS = 100
BATCHES = 10  # of an epoch

# %%
# "By epoch" schedules change between two epochs, "by batch" ones with every batch. Any
# of them can stand behind a warm-up, and any can be searched in a grid, as
# ``lr_decay`` or by its own parameters (``lr_decay__gamma``).

panels = {
    "by epoch": [
        schedules.Constant(),
        schedules.StepDecay(step_size=30, gamma=0.3),
        schedules.MultiStepDecay(milestones=(40, 70, 85), gamma=0.3),
        schedules.ExponentialDecay(gamma=0.97),
    ],
    "by batch": [
        schedules.LinearDecay(),
        schedules.CosineDecay(),
        schedules.CosineRestarts(period=15, period_factor=2),
        schedules.CosLog(cycles=4),
    ],
    "cycles": [
        schedules.Cyclic(step_size=10 * BATCHES),
        schedules.Cyclic(step_size=10 * BATCHES, mode="triangular2"),
        schedules.Cyclic(step_size=10 * BATCHES, mode="exp_range", gamma=0.998),
        schedules.OneCycle(),
    ],
    "after a warm-up": [
        schedules.WarmUp("constant", n_epochs=20),
        schedules.WarmUp(schedules.StepDecay(step_size=30, gamma=0.3), n_epochs=20),
        schedules.WarmUp("linear", n_epochs=20),
        schedules.WarmUp("cosine", n_epochs=20),
    ],
}

# %%
# Each row of the figure is one of these kinds. A title is the schedule's own ``repr``.

figure, rows = plt.subplots(
    len(panels), 4, figsize=(13, 9), sharex=True, sharey=True, layout="constrained"
)
epochs = [batch / BATCHES for batch in range(EPOCHS * BATCHES)]
for row, (kind, group), color in zip(rows, panels.items(), plt.cm.tab10.colors, strict=False):
    row[0].set_ylabel(f"{kind}\nfactor")
    for axes, schedule in zip(row, group, strict=True):
        factors = schedule.simulate(EPOCHS * BATCHES, batches_per_epoch=BATCHES)
        axes.plot(epochs, factors, color=color)
        axes.fill_between(epochs, factors, color=color, alpha=0.12, linewidth=0)
        title = " ".join(repr(schedule).split()).replace(", ", ",\n", 1)
        axes.set_title(title, fontsize=8.5)
        axes.set(xlim=(0, EPOCHS), ylim=(0, 1.08))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
for axes in rows[-1]:
    axes.set_xlabel("epoch")

parser = argparse.ArgumentParser(description=__doc__)
default = Path(tempfile.gettempdir()) / "plot_schedules.png"
parser.add_argument("--out", type=Path, default=default, help="where the figure goes")
path = parser.parse_args().out
figure.savefig(path, dpi=110)
print("the figure is in", path)
