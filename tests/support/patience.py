"""How long tests wait for what has to happen."""

# Only a test that fails takes it. A machine with other things to do is late by seconds; what is later than this never
# comes. Bounds on how soon something happens belong to the benches, or to a clock that the test advances.
PATIENCE_S = 60.0
