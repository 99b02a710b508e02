"""SPUNGE: real rows with a few attributes from other rows, and a little noise.

SPUNGE comes from AutoGluon (function `spunge_augment`), where it is called a simple version
of MUNGE. It is the fastest sampler here, because it searches no neighbours. Each row of the table
is copied, and the copy is changed:

    x_a <- z_a,                        for max(1, floor(share * d)) random attributes a
    x_a <- x_a + N(0, noise * sd_a),   with probability p, if attribute a is a number

Here x_a is attribute a of the copy, and z_a is the same attribute of a random row z of the table.
A new row z is drawn for each a. d is the number of attributes, and sd_a the standard deviation of
attribute a in the table. N(mean, sd) is the normal distribution with that mean and standard
deviation. share, noise and p are parameters. If share is 0, no attribute is replaced.
"""

import numpy as np

from skkd.checks import check_number
from skkd.transfer.sampler import Sampler, shuffled_copies

__all__ = ["Spunge"]


class Spunge(Sampler):
    """A few attributes copied from random rows, and noise on numbers (SPUNGE).

    Each synthetic row is a copy of a row of the table. A few of its attributes are replaced by the
    values of random rows, and noise is added to some of its numbers.

    Parameters
    ----------
    share : float in [0, 1], default=0.1
        Share of the attributes of a row that are replaced. If `share` is above 0, at least one
        attribute is replaced.
    noise : float >= 0, default=0.1
        Standard deviation of the noise on a number, as a multiple of the standard deviation
        of the attribute. Nominal attributes and zeros of a sparse matrix get no noise.
    p : float in [0, 1], default=0.1
        Probability that a number gets noise.

    Attributes
    ----------
    attributes_ : skkd.transfer.attributes.Attributes
        The columns of the fitted table as attributes.
    noise_scales_ : ndarray of float64 of shape (n_numeric,)
        Standard deviation of the noise on each numeric attribute.

    Notes
    -----
    Source: the code of AutoGluon, `spunge_augment`. AutoGluon has one parameter, `frac_perturb`,
    in place of `share` and `p`. It draws for each row how many attributes are replaced: at least
    1, and at most the share `frac_perturb` of all attributes. Here this number is the same for
    all rows.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(20).reshape(10, 2)
    >>> Spunge(noise=0).fit(X).sample(5, random_state=0)  # one of two attributes is replaced
    array([[ 6,  5],
           [16,  1],
           [ 8,  7],
           [10, 19],
           [ 0,  3]])
    """

    def __init__(self, share=0.1, noise=0.1, p=0.1):
        self.share = share
        self.noise = noise
        self.p = p

    def check(self):
        check_number("share", self.share, low=0, high=1)
        check_number("noise", self.noise, low=0)
        check_number("p", self.p, low=0, high=1)

    def learn(self):
        numbers = self.attributes_.numbers
        self.noise_scales_ = self.noise * np.array([np.nanstd(column) for column in numbers.T])

    def draw(self, n_rows, random_state):
        for rows in shuffled_copies(self.attributes_.n_rows, n_rows, random_state):
            donors = self._donors(rows, random_state)
            numbers = self.attributes_.numbers_at(donors)
            is_noisy = random_state.random_sample(numbers.shape) < self.p
            noise = random_state.standard_normal(numbers.shape) * self.noise_scales_
            noisy = self.attributes_.fit_in(numbers + noise)
            yield donors, np.where(is_noisy, noisy, numbers)

    def _donors(self, rows: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
        attributes = self.attributes_
        donors = np.tile(rows[:, None], attributes.n_attributes)
        if self.share == 0:
            return donors
        n_drawn = max(1, int(self.share * attributes.n_attributes))
        ranks = random_state.random_sample(donors.shape)
        drawn = np.argpartition(ranks, n_drawn - 1, axis=1)[:, :n_drawn]
        others = random_state.randint(attributes.n_rows, size=drawn.shape)
        np.put_along_axis(donors, drawn, others, axis=1)
        return donors
