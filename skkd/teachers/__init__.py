"""Teachers: how each kind is asked, cloned, fitted and remembered."""

from skkd.teachers.cache import forget
from skkd.teachers.out_of_fold import out_of_fold
from skkd.teachers.predict_proba import TeacherMismatchWarning, WeakTeacherWarning, freeze

__all__ = ["TeacherMismatchWarning", "WeakTeacherWarning", "forget", "freeze", "out_of_fold"]
