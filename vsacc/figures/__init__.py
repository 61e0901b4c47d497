"""Pictures: arrays and numbers in, Figure out. No model, task or system is known here: where several are drawn, the
caller gives their marks or looks by name. Importing the package sets the workbook's one style."""

from .style import use_style

use_style()
