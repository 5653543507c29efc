"""Small ONNX models, written by hand: the package that writes them is 60 MB.

Spec: onnx.proto of ONNX 1.17, IR version 8, operator set 13.
"""

from __future__ import annotations

FLOAT, INT64 = 1, 7
IR_VERSION, OPERATOR_SET = 8, 13


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor_info(name: str, shape: list[int | str], kind: int = FLOAT) -> bytes:
    dims = b"".join(_bytes(1, _bytes(2, dim) if isinstance(dim, str) else _number(1, dim)) for dim in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dims)))


def _node(operator: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(_bytes(1, each) for each in inputs) + _bytes(2, output) + _bytes(4, operator) + attributes


def _shape(name: str, values: list[int]) -> bytes:
    data = b"".join(value.to_bytes(8, "little", signed=True) for value in values)
    return _number(1, len(values)) + _number(2, INT64) + _bytes(8, name) + _bytes(9, data)


def _axis(value: int) -> bytes:
    return _bytes(5, _bytes(1, "axis") + _number(3, value) + _number(20, 2))


def colour_model(
    names: str = '["red", "green", "blue"]', shape: tuple[int | str, ...] = (1, 3, "height", "width"), kind: int = FLOAT
) -> bytes:
    """A model whose scores are how red, green and blue a picture is: ``[1, 3]``.

    Args:
        names: The metadata of this name; empty for none.
        shape: Of its input.
        kind: Of its input's numbers.
    """
    nodes = [_node("GlobalAveragePool", ["images"], "means"), _node("Flatten", ["means"], "scores")]
    return _model(nodes, [], [1, "labels"], names, shape, kind)


def box_model(names: str = "{0: 'green', 1: 'blue'}") -> bytes:
    """A model with the output of YOLO, one box of four numbers and two scores: ``[1, 6, 1]``."""
    nodes = [
        _node("GlobalAveragePool", ["images"], "means"),
        _node("Concat", ["means", "means"], "six", _axis(1)),
        _node("Reshape", ["six", "shape"], "scores"),
    ]
    return _model(nodes, [_shape("shape", [1, 6, 1])], [1, 6, 1], names, (1, 3, "height", "width"), FLOAT)


def _model(
    nodes: list[bytes],
    constants: list[bytes],
    output: list[int | str],
    names: str,
    shape: tuple[int | str, ...],
    kind: int,
) -> bytes:
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, "colours")
    graph += b"".join(_bytes(5, constant) for constant in constants)
    graph += _bytes(11, _tensor_info("images", list(shape), kind)) + _bytes(12, _tensor_info("scores", output))
    metadata = _bytes(14, _bytes(1, "names") + _bytes(2, names)) if names else b""
    return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, OPERATOR_SET)) + metadata
