"""The estimators: public classes, and what their methods do.

- `neural.py`, `distilled.py`: the classes, their parameters and documentation
- `base.py`: parameters, tags, copies, pickles
- `fit_input.py`, `fitting.py`, `fitting_with_teacher.py`: `fit` and `partial_fit`
- `prediction.py`: `predict`, `predict_proba` and the like
- `options.py`, `sklearn_callbacks.py`: ``module__*`` and ``optimizer__*``; scikit-learn's callbacks
"""
