"""One worked example, one file, found by its name. The file's first line is its title, the rest of its docstring its text.

It defines

    NAME(...) -> Worked      a function of the file's own name; its arguments have defaults, one that learns has `seed=0`
    picture(figure)          draws on a matplotlib figure; only where a picture helps

Every number in a table is computed: by cells written in the file, by `recell.by_hand` or by `recell.nn`.
"""
