"""`skkd.register_skl2onnx`: skl2onnx converts pipelines with our classifiers."""

from typing import Any

from skkd.estimators.export import fitted_network
from skkd.exporting.libraries import library

__all__ = ["register_skl2onnx"]

PURPOSE = "register_skl2onnx"

#: The options of the converter, and their values.
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}


def register_skl2onnx() -> None:
    """Teach skl2onnx to convert the classifiers of skkd, also inside of pipelines.

    Afterwards ``skl2onnx.to_onnx(pipeline, X[:1])`` takes pipelines and meta-estimators that hold
    a :class:`skkd.NeuralClassifier`, a :class:`skkd.DistilledClassifier`, or what
    :func:`skkd.load` returns. Calling this function again changes nothing.

    The nodes are those of :func:`skkd.export`. Inputs of ``double`` are computed in ``double``,
    and all others in ``float``. skl2onnx does not compare the result with the pipeline: do it on
    rows of yours.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: ``pip install skl2onnx``.

    Examples
    --------
    >>> import numpy as np
    >>> import skkd
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    >>> clf = skkd.NeuralClassifier((8,), max_epochs=2)
    >>> pipeline = make_pipeline(StandardScaler(), clf).fit(X, [0, 0, 1, 1])
    >>> skkd.register_skl2onnx()
    >>> from skl2onnx import to_onnx
    >>> model = to_onnx(pipeline, X[:1], options={"zipmap": False})
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    from skkd.estimators.distilled import DistilledClassifier
    from skkd.estimators.neural import NeuralClassifier
    from skkd.exporting.loaded import LoadedClassifier

    skl2onnx = library("skl2onnx", PURPOSE, install="skl2onnx")
    for kind in (NeuralClassifier, DistilledClassifier, LoadedClassifier):
        skl2onnx.update_registered_converter(
            kind, f"Skkd{kind.__name__}", _set_types, _convert, options=OPTIONS
        )


def _set_types(operator: Any) -> None:
    """Set the types and shapes of the outputs."""
    data_types = library("skl2onnx.common.data_types", PURPOSE, install="skl2onnx")
    utilities = library("skl2onnx.common.utils_classifier", PURPOSE, install="skl2onnx")
    classes = utilities.get_label_classes(operator.scope_inst, operator.raw_operator)
    n_rows = operator.inputs[0].get_first_dimension()
    is_text = isinstance(classes.tolist()[0], str)
    label = data_types.StringTensorType if is_text else data_types.Int64TensorType
    numbers = (
        data_types.DoubleTensorType
        if _dtype_of(operator) == "float64"
        else data_types.FloatTensorType
    )
    operator.outputs[0].set_type(label([n_rows]))
    operator.outputs[1].set_type(numbers([n_rows, len(classes)]))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a classifier."""
    from skkd.exporting.onnx.embedding import embed

    model = operator.raw_operator
    options = container.get_options(model, {"nocl": False, "raw_scores": False})
    data, schema = _written(model, _dtype_of(operator))
    embed(
        data,
        schema,
        scope,
        container,
        operator.inputs,
        operator.outputs,
        nocl=options.get("nocl", False),
        raw_scores=options.get("raw_scores", False),
    )


def _dtype_of(operator: Any) -> str:
    kinds = {type(variable.type).__name__ for variable in operator.inputs}
    return "float64" if "DoubleTensorType" in kinds else "float32"


def _written(model: Any, dtype: str) -> tuple[bytes, Any]:
    """The bytes of an ONNX file of a classifier, and its schema."""
    from skkd.exporting.loaded import LoadedClassifier
    from skkd.exporting.onnx.reader import OnnxRunner
    from skkd.exporting.write import written

    if isinstance(model, LoadedClassifier) and isinstance(model.runner, OnnxRunner):
        return model.runner.session.data, model.schema
    network = fitted_network(model)
    return written(network, ".onnx", dtype), network.schema
