"""What is run and what it adds up to: Table 1 and its plan, noise, ablation, budgets of glimpses, cost, the toy model.

May import every room but figures, look and report."""
