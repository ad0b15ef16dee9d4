"""Reading and writing packed columns: all values one behind the other, where each ends, and a bit for each that is not null."""

from wit_world.imports.types import Column, HeaderColumns


def values(column):
    """The value of each record, as bytes; None where it is null."""
    begin, data, valid = 0, column.data, column.valid
    for i, end in enumerate(column.ends):
        yield data[begin:end] if not valid or valid[i >> 3] >> (i & 7) & 1 else None
        begin = end


def column(items):
    """A column of bytes, and of None where there is null."""
    data, ends, valid = bytearray(), [], bytearray((len(items) + 7) // 8)
    for i, item in enumerate(items):
        if item is not None:
            data += item
            valid[i >> 3] |= 1 << (i & 7)
        ends.append(len(data))
    return Column(bytes(data), ends, bytes(valid))


def no_headers():
    """No headers of no records."""
    return HeaderColumns([], column([]), column([]))
