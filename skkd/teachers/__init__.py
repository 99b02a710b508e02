"""Teachers: fitted models that give the soft labels from which a student network learns.

``teacher`` binds a model to its options for one fit of a student. ``predict_proba`` calls
each kind of model. ``answers`` and ``soft_labels`` check the probabilities that a model
returns and put them into the order of the classes. ``cloning`` fits clones of a model.
``cache`` keeps predictions and fitted clones.
"""

from skkd.teachers.agreement import TeacherMismatchWarning, WeakTeacherWarning
from skkd.teachers.cache import forget
from skkd.teachers.members import freeze
from skkd.teachers.out_of_fold import out_of_fold

__all__ = ["TeacherMismatchWarning", "WeakTeacherWarning", "forget", "freeze", "out_of_fold"]
