"""The runs behind the tables: which ones are planned, what is kept of a finished one, where each of them stands,
which processes and GPUs compute them, and the cells of the noise study."""
