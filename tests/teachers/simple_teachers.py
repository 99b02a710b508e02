"""Teachers that several tests share."""

import numpy as np
import torch


class Duck:
    """Only predict_proba and classes_."""

    classes_ = np.array([0, 1, 2])

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


class LogitModule(torch.nn.Module):
    """Dropout and BatchNorm: in training mode its output is random, and its state changes."""

    def __init__(self, n_outputs=3):
        super().__init__()
        self.linear = torch.nn.Linear(4, n_outputs)
        self.norm = torch.nn.BatchNorm1d(n_outputs)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.norm(self.linear(x)))
