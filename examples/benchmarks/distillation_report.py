"""
Tables and picture of the distillation benchmark
================================================

A **pair** is one teacher and one size of student on one table, over all splits. Of its two twins
the one with the higher test accuracy over all splits is used, which favours the twins. A teacher
**leads** if its test accuracy is clearly higher than the twin's.
"""

from itertools import product

import numpy as np
import pandas as pd
from distillation_scores import DECIDING, REPORTED, difference

#: A claim needs at least this number of pairs whose teacher leads.
FEWEST_PAIRS = 6

#: Ticks of the picture, whose scale is linear from -1 to 1 point and logarithmic beyond.
TICKS = (-50, -20, -10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10)

#: A difference is clear if it is larger than this number of standard errors.
CLEAR = 2


# %%
# Pairs
# -----


def wanted(lines, kind, options, **more):
    """Return the lines of a kind that the command line asks for."""
    return [
        line
        for line in lines
        if line["kind"] == kind
        and line["table"] in options.tables
        and line["split"] < options.splits
        and line.get("teacher", options.teachers[0]) in options.teachers
        and line.get("student", options.students[0]) in options.students
        and all(line[name] == value for name, value in more.items())
    ]


def pairs(lines, arm, options):
    """Return a DataFrame with one row per pair."""
    students = wanted(lines, "distilled", options, arm=arm)
    teachers = pd.DataFrame(wanted(lines, "teacher", options))
    rows = []
    for table, student, teacher in product(options.tables, options.students, options.teachers):
        names = {"table": table, "student": student, "teacher": teacher}
        some = [line for line in students if all(line[k] == v for k, v in names.items())]
        if not some:
            continue
        of = teachers[(teachers["table"] == table) & (teachers["teacher"] == teacher)]
        of = of[of["split"].isin([line["split"] for line in some])]
        means = {f"teacher_{name}": of[name].mean() for name in ("accuracy", "log_loss")}
        rows.append({**names, **means, **pair(some)})
    return pd.DataFrame(rows)


def pair(splits):
    """Return the row of one pair: its student, its better twin, and their differences."""
    n_rows = sum(line["n_test"] for line in splits)

    def pooled(get):
        return np.sum([get(line) for line in splits], axis=0)

    def mean(get):
        return pooled(lambda line: line["n_test"] * get(line)) / n_rows

    of = max(splits[0]["twins"], key=lambda of: mean(lambda line: line["twins"][of]["accuracy"]))
    behind, lead_error = difference(pooled(lambda line: line["twins"][of]["over_teacher"]), n_rows)
    loss, gain_error = difference(pooled(lambda line: line["twins"][of]["over_student"]), n_rows)
    lead, gain = 0 - behind, 0 - loss
    row = {"splits": len(splits), "twin": of, "leads": bool(lead > CLEAR * lead_error)}
    row |= {"lead": lead, "lead_error": lead_error, "gain": gain, "gain_error": gain_error}
    for name in ("accuracy", "log_loss", "agreement", "kl", "fit", "kB", "predict", "n_steps"):
        row[f"student_{name}"] = mean(lambda line, name=name: line[name])
        row[f"twin_{name}"] = mean(lambda line, name=name: line["twins"][of][name])
    for twin in ("equal steps", "defaults"):
        row[f"fit over {twin}"] = [
            (line["fit"] - (line["ask"] or 0)) / line["twins"][twin]["fit"] for line in splits
        ]
    return row


# %%
# Results
# -------


def gap_closed(some):
    """Return the share of leading teachers' lead that students keep, and their number."""
    leading = some[some["leads"]]
    share = leading["gain"].sum() / leading["lead"].sum() if len(leading) else np.nan
    return share, len(leading)


def gap_in_words(some):
    share, n_pairs = gap_closed(some)
    text = f"{share:.2f} (the {n_pairs} of {len(some)} pairs whose teacher leads)"
    return text if n_pairs >= FEWEST_PAIRS else f"{text}, too few pairs for a claim"


def means_over_teachers(lines, arm, options):
    """Return student minus better twin, averaged over teachers, for each table and student."""
    some = wanted(lines, "mean", options, arm=arm)
    rows = []
    for table, student in product(options.tables, options.students):
        of = [line for line in some if (line["table"], line["student"]) == (table, student)]
        of.sort(key=lambda line: len(line["teachers"]))
        these = {line["split"]: line for line in of}.values()  # per split the most teachers
        if not these:
            continue
        n_rows = sum(line["n_test"] for line in these)
        moments = {
            of: np.sum([line["twins"][of] for line in these], axis=0) / n_rows
            for of in ("defaults", "equal steps")
        }
        of = min(moments, key=lambda of: moments[of][0])
        gain, squares = moments[of]
        error = np.sqrt((squares - gain**2) / n_rows)
        worse = bool(gain < -CLEAR * error)
        row = {"table": table, "student": student, "twin": of}
        rows.append({**row, "gain": gain, "error": error, "worse": worse})
    return pd.DataFrame(rows)


# %%
# Printing
# --------


def report(lines, arm, options):
    """Print the results of an arm."""
    table = pairs(lines, arm, options)
    if not len(table):
        print(f"\n{arm}: no measurements")
        return
    means = means_over_teachers(lines, arm, options)
    for student in options.students:
        print(f"\n{arm}, {student}\n{in_percent(table[table['student'] == student])}")
    for title, tables in groups(options.tables).items():
        some = table[table["table"].isin(tables)]
        if len(some):
            print(f"\n{arm}, {title} tables\n" + "\n".join(summary(some, means, options)))
    print(f"\ncosts, means over splits\n{costs(table, lines, options)}")
    contenders(table, lines, options)


def groups(tables):
    """Return the tables that decided on the defaults, those that did not, others, and all."""
    rest = [table for table in tables if table not in (*DECIDING, *REPORTED)]
    return {"deciding": DECIDING, "reported": REPORTED, "other": rest, "all": tables}


def in_percent(some):
    """Return the pairs of one size of student as text."""
    columns = {
        "teacher %": 100 * some["teacher_accuracy"],
        "twin %": 100 * some["twin_accuracy"],
        "student %": 100 * some["student_accuracy"],
        "gain": 100 * some["gain"],
        "+-": 100 * some["gain_error"],
        "lead": 100 * some["lead"],
        "leads": some["leads"].map({True: "*", False: ""}),
        "agreement twin": some["twin_agreement"],
        "agreement student": some["student_agreement"],
        "KL twin": some["twin_kl"],
        "KL student": some["student_kl"],
        "log-loss teacher": some["teacher_log_loss"],
        "log-loss twin": some["twin_log_loss"],
        "log-loss student": some["student_log_loss"],
        "better twin": some["twin"],
        "splits": some["splits"],
    }
    names = some[["table", "teacher"]]
    text = pd.concat([names, pd.DataFrame(columns)], axis=1)
    formats = {"teacher %": "{:.2f}", "twin %": "{:.2f}", "student %": "{:.2f}"}
    formats |= dict.fromkeys(("gain", "lead"), "{:+.2f}") | {"+-": "{:.2f}"}
    return text.to_string(
        index=False,
        formatters={name: form.format for name, form in formats.items()},
        float_format="{:.4f}".format,
    )


def write_csv(lines, arm, student, options, path):
    """Write a table of the docs: the pairs of one size of student, in per cent, twin → student."""
    table = pairs(lines, arm, options)
    if not len(table):
        return
    some = table[table["student"] == student]
    columns = {
        "table, teacher": some["table"] + ", " + some["teacher"],
        "splits": some["splits"],
        "teacher": [f"{100 * accuracy:.1f}" for accuracy in some["teacher_accuracy"]],
        "student": from_to(some, "accuracy", "{:.1%}"),
        "+-": [f"{100 * error:.1f}" for error in some["gain_error"]],
        "leads": some["leads"].map({True: "yes", False: ""}),
        "agreement": from_to(some, "agreement", "{:.1%}"),
        "log-loss": from_to(some, "log_loss", "{:.3f}"),
        "KL": from_to(some, "kl", "{:.3f}"),
    }
    pd.DataFrame(columns).to_csv(path, index=False)
    print("a table is in", path)


def from_to(some, name, form):
    """Return a list of texts "twin → student", with the two numbers of each pair."""
    numbers = zip(some[f"twin_{name}"], some[f"student_{name}"], strict=True)
    return [
        " → ".join(form.format(number).removesuffix("%") for number in pair) for pair in numbers
    ]


def summary(some, means, options):
    """Return a few lines of text about a group of tables."""
    lines = []
    for student in options.students:
        of = some[some["student"] == student]
        if not len(of):
            continue
        leading = of[of["leads"]]
        up = (leading["student_agreement"] > leading["twin_agreement"]).sum()
        low_loss = (of["student_log_loss"] <= of["twin_log_loss"]).sum()
        agrees = (of["student_agreement"] >= of["twin_agreement"]).sum()
        over_twin, over_defaults = (
            np.median(np.concatenate([*of[f"fit over {twin}"]]))
            for twin in ("equal steps", "defaults")
        )
        lines += [
            f"{student}: gap closed {gap_in_words(of)}",
            f"  by students of forests: {gap_in_words(of[of['teacher'] == 'forest'])}",
            f"  agreement above the twin's in {up} of {len(leading)} pairs whose teacher leads",
            f"  worse than the twin, means over teachers: {worse_in_words(means, of, student)}",
            f"  fit time without the teacher's, medians: {over_twin:.1f} times the equal-steps "
            f"twin's, {over_defaults:.1f} times NeuralClassifier's, which chooses its epochs",
            f"  log-loss at most the twin's in {low_loss}, agreement at least the twin's in "
            f"{agrees} of {len(of)} pairs",
        ]
    return lines


def worse_in_words(means, some, student):
    """Return as text the tables where students are clearly worse than twins, and by how much."""
    if not len(means):
        return "not measured for all teachers"
    of = means[(means["student"] == student) & means["table"].isin(some["table"])]
    in_words = [
        f"{row.table} {100 * row.gain:+.2f} +- {100 * row.error:.2f}"
        for row in of.itertuples()
        if row.worse
    ]
    return f"{', '.join(in_words) or 'none'} of {len(of)} tables"


def costs(table, lines, options):
    """Return the seconds, sizes and steps of twin, student and teacher as text."""
    teachers = pd.DataFrame(wanted(lines, "teacher", options))
    of_teachers = teachers.pivot_table(index=["table", "teacher"], values=["fit", "predict", "kB"])
    names = [f"{of}_{cost}" for cost in ("fit", "predict", "kB") for of in ("twin", "student")]
    names += ["twin_n_steps", "student_n_steps"]
    students = table.set_index(["table", "teacher", "student"])[names]
    text = students.join(of_teachers.add_prefix("teacher_"), on=["table", "teacher"])
    return text.to_string(float_format="{:.4g}".format)


def contenders(table, lines, options):
    """Print the results of other libraries on the same splits, if there are any."""
    others = pd.DataFrame(wanted(lines, "contender", options))
    if not len(others):
        return
    for value in ("accuracy", "log_loss", "fit", "predict"):
        ours = table.assign(arm=table["student"] + " by " + table["teacher"])
        ours = ours.pivot_table(index="arm", columns="table", values=f"student_{value}")
        theirs = others.pivot_table(index="arm", columns="table", values=value)
        print(f"\n{value}\n{pd.concat([theirs, ours]).to_string(float_format='{:.4f}'.format)}")


# %%
# Drawing
# -------


def draw(lines, arm, options, path):
    """Draw twin, student and teacher of each pair."""
    import matplotlib.pyplot as plt

    table = pairs(lines, arm, options)
    if not len(table):
        return
    names = table[["table", "teacher"]].drop_duplicates()
    heights = places(names)
    figure, axes = plt.subplots(
        1,
        len(options.students),
        figsize=(1.5 + 4 * len(options.students), 1.6 + 0.2 * max(heights.values())),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, student in zip(axes[0], options.students, strict=True):
        draw_pairs(ax, table[table["student"] == student], heights)
        ax.set_title(student, fontsize="medium")
    axes[0, 0].set_yticks(list(heights.values()), labels(names))
    axes[0, 0].margins(y=0.02)
    axes[0, 0].invert_yaxis()
    legend = axes[0, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside upper center", ncols=4, frameon=False)
    label = "accuracy minus the teacher's, in points (faint: the teacher does not lead the twin)"
    figure.supxlabel(label, fontsize="medium")
    figure.savefig(path, dpi=110)
    print("the picture is in", path)


def places(names):
    """Return a height in the picture for each table and teacher, with a gap between tables."""
    tables = names["table"].drop_duplicates().tolist()
    return {
        (table, teacher): i + 0.8 * tables.index(table)
        for i, (table, teacher) in enumerate(names.itertuples(index=False))
    }


def labels(names):
    """Return the names of the teachers; the first of each table follows the table's name."""
    is_first = ~names["table"].duplicated()
    tables = names["table"].where(is_first, "")
    return [f"{table}   {teacher}" for table, teacher in zip(tables, names["teacher"], strict=True)]


def draw_pairs(ax, some, heights):
    """Draw an arrow for each pair, from a dot for the twin to the student."""
    ax.axvline(0, color="black", linewidth=1, label="teacher")
    reported = [height for (table, _), height in heights.items() if table in REPORTED]
    if 0 < len(reported) < len(heights):
        ax.axhline(min(reported) - 0.9, color="grey", linewidth=0.8, linestyle=":")
    for row in some.itertuples():
        height = heights[row.table, row.teacher]
        twin = 100 * (row.twin_accuracy - row.teacher_accuracy)
        student = 100 * (row.student_accuracy - row.teacher_accuracy)
        alpha = 1.0 if row.leads else 0.35
        color = "tab:blue" if student >= twin else "tab:red"
        ax.plot(twin, height, "o", color="grey", markersize=4, alpha=alpha)
        ax.annotate(
            "",
            (student, height),
            (twin, height),
            arrowprops={"arrowstyle": "-|>", "color": color, "alpha": alpha, "shrinkA": 0},
        )
        ax.plot(student, height, alpha=0)  # invisible, because an arrow does not extend the axes
    ax.plot([], [], "o", color="grey", markersize=4, label="twin, labels alone")
    ax.plot([], [], color="tab:blue", marker=">", markersize=5, label="student, better")
    ax.plot([], [], color="tab:red", marker=">", markersize=5, label="student, worse")
    ax.set_xscale("symlog", linthresh=1, linscale=0.8)
    low, high = ax.get_xlim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:+g}" if tick else "0" for tick in ticks])
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
