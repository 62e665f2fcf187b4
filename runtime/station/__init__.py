"""A station at a line: a trigger in, a proven verdict out in time, and a record of every part."""
