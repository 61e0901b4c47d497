"""Pictures: arrays and numbers in, Figure out. No model, no task and no system is known here.

Nothing of vsacc is imported but this package. Where several systems or variants are drawn, the caller gives their marks
(colour, marker, label) or looks (colour, dashes, marker) by name. Importing the package sets the workbook's one style.
"""

from .style import use_style

use_style()
