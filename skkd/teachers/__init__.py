"""Teachers: how each kind of model is asked, cloned and fitted, and how its answers are kept.

``teacher`` is what a fit holds; ``predict_proba`` asks each kind of model; ``answers`` and
``soft_labels`` read, check and align what it returns.
"""

from skkd.teachers.agreement import TeacherMismatchWarning, WeakTeacherWarning
from skkd.teachers.cache import forget
from skkd.teachers.members import freeze
from skkd.teachers.out_of_fold import out_of_fold

__all__ = ["TeacherMismatchWarning", "WeakTeacherWarning", "forget", "freeze", "out_of_fold"]
