"""Photographs on disk as pyramids of bytes, for training and for glimpses into what no memory holds: the files
are opened in ``read``, made in ``write``, with a ``journal`` of what is done, and laid out as ``tiles``."""
