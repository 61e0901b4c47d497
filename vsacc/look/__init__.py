"""Looking over a model's shoulder, whichever system it is: the explorer and its sliders, one image on the command line,
the README's pictures. Every room but ``report`` may be imported."""
