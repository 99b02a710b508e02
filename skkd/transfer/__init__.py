"""Transfer sets: synthetic rows that only a teacher labels.

A student learns from a teacher on any rows, not only on those with labels. Where no
unlabelled rows are at hand, a sampler makes some that are like the rows of a table
(Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", KDD):

=======  ==========================================================================
Munge    exchanges attributes between nearest neighbours
Spunge   draws a few attributes from their marginals, and adds noise to numbers
Gibbs    draws attributes anew given all others, from trees; the slowest
=======  ==========================================================================

A sampler learns a table, with `fit`, and gives rows in the same container: a NumPy array
of the same type, a SciPy sparse matrix, a pandas or polars DataFrame, a pyarrow Table.
It sees no labels. All samplers follow scikit-learn's parameter protocol, so a grid can
search ``augment__p``.
"""

from skkd.transfer.gibbs import Gibbs
from skkd.transfer.munge import Munge
from skkd.transfer.resolve import resolve_augment
from skkd.transfer.sampler import Sampler
from skkd.transfer.spunge import Spunge

__all__ = ["Gibbs", "Munge", "Sampler", "Spunge", "resolve_augment"]
