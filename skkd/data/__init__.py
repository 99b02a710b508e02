"""The caller's rows, labels and weights: checked, read and split.

- `validation.py`: check X, y and weights
- `labels.py`: read class labels as NumPy arrays
- `masks.py`: fill or refuse NumPy masked arrays
- `input_tags.py`: say which rows an estimator accepts
- `tables.py`: read pandas, polars and pyarrow tables
- `columns.py`: compute distinct values and quantiles of columns
- `containers.py`: build synthetic rows in the container type of X
- `conversion.py`: convert other rows to the container type of X
- `protected_data.py`: keep the user's models from changing the caller's data
- `fit_data.py`, `dataset.py`: hold the rows of one fit, with targets and weights
"""
