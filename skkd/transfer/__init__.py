"""Transfer sets: unlabelled or synthetic rows that only a teacher labels.

A student can learn from a teacher on any rows, also on rows without labels. If the user has
no unlabelled rows, a sampler makes synthetic rows that resemble the rows of a table
(Bucila, Caruana and Niculescu-Mizil 2006, "Model compression", KDD):

=======  ==========================================================================
Munge    exchanges attributes between nearest neighbours
Spunge   copies a few attributes from random rows, and adds noise to numbers
Gibbs    draws each attribute given the other attributes, from trees; the slowest
=======  ==========================================================================

A sampler is fitted to a table and returns rows of the table's type: a NumPy array of the
same dtype, a SciPy sparse matrix, a pandas or polars DataFrame, or a pyarrow Table. A sampler
does not use labels. All samplers have `get_params` and `set_params`, so a grid search can
vary ``augment__p``.
"""

from skkd.transfer.gibbs import Gibbs
from skkd.transfer.munge import Munge
from skkd.transfer.resolve import resolve_augment
from skkd.transfer.sampler import Sampler
from skkd.transfer.spunge import Spunge

__all__ = ["Gibbs", "Munge", "Sampler", "Spunge", "resolve_augment"]
