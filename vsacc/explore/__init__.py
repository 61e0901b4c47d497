"""What the sliders show: pictures to look at, and what a trained saccader sees and says on one of them, step by step.
All of it is arrays; figures are in vsacc.plots."""
