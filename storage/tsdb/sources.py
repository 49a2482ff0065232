"""What one block adds to the parts of an answer."""

from collections.abc import Iterable

from storage.tsdb.chunk import Piece
from storage.tsdb.merge import Parts, late_source


def add_pieces(parts: Parts, pieces: Iterable[Piece], mint: int, maxt: int, *, late: bool) -> None:
    """Add a block's pieces; blocks come in the order they were written.

    Series with times of their own stand in blocks of scrapes where late samples were folded in. They
    go in front of what is late: whatever came late afterwards wins over them.
    """
    folded = 0
    for piece in pieces:
        if late:
            parts.late.append(late_source(piece, mint, maxt))
        elif piece.ts_ms.ndim == 2:
            parts.late.insert(folded, late_source(piece, mint, maxt))
            folded += 1
        else:
            parts.pieces.append(piece)
