"""Pictures: arrays in, Figure out, no model inside. Importing this package sets the workbook's one style."""

from .style import use_style

use_style()
