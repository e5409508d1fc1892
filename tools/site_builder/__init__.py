"Build the handbook's site from its notebooks without Quarto: nbdev's processors, pandoc for maths and citations, smalldocs for the pages."
