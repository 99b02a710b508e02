"""Transfer sets: synthetic rows that only a teacher labels.

A student can learn from a teacher on any rows, not only on those with labels. If there are
no unlabelled rows, a sampler makes rows that resemble those of a table
(Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", KDD):

=======  ==========================================================================
Munge    exchanges attributes between nearest neighbours
Spunge   draws a few attributes from their marginals, and adds noise to numbers
Gibbs    draws each attribute given all others, from trees; the slowest
=======  ==========================================================================

A sampler is fitted to a table and makes rows in the same container: a NumPy array of the
same dtype, a SciPy sparse matrix, a pandas or polars DataFrame, a pyarrow Table. It does
not use labels. All samplers follow scikit-learn's parameter protocol, so a grid can
search ``augment__p``.
"""

from skkd.transfer.gibbs import Gibbs
from skkd.transfer.munge import Munge
from skkd.transfer.resolve import resolve_augment
from skkd.transfer.sampler import Sampler
from skkd.transfer.spunge import Spunge

__all__ = ["Gibbs", "Munge", "Sampler", "Spunge", "resolve_augment"]
