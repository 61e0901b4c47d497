"""Looking over a model's shoulder: the explorer and its sliders, one image on the command line, the README's pictures.

    explorer  pictures to look at, and what a model sees and says of one, step by step
    widgets   the explorer with sliders, for notebooks
    look      ``vsacc look``: images of any size through trained weights
    film      the README's figure and film

Every room but ``report`` may be imported. A look holds what the model gives, whichever system it is.
"""
