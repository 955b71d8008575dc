"""The report of a run: one self-contained page, and the panel that ends it on the terminal.

`page.write_report` turns the summary of a run (also `report.json`) into `report.html`: SVG charts drawn by
`charts`, each with its table, and no script, font or image from anywhere else. `panel.panel` says the same in
a few lines of text. Texts of a dataset are hostile: both pass every string through `_format.visible`.
"""
