"""The caller's rows, labels and weights: checked, read and split.

- `validation.py`: check X, y and weights; `labels.py`, `masks.py`, `input_tags.py`
- `tables.py`, `columns.py`: read pandas, polars and pyarrow tables; statistics of columns
- `containers.py`, `conversion.py`: take, join and make rows in the caller's type
- `protected_data.py`: models of the user cannot change the caller's data
- `fit_data.py`, `dataset.py`: the rows of one fit, with targets and weights
"""
