"""The workbook headless: notebooks executed (notebooks.py), their pages (pages.py), both commands (report.py), and the
README's table (readme.py). May import local, studies, look and figures."""
