"""What looking costs, in seconds and bytes: how it is measured, the right half of the paper's Table 1, the floor under
its times, time and memory against the side, the parts of a model, an epoch of training, and what to say. ``benchmark``
has the tables in one list of rows."""
