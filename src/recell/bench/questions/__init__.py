"""One question, one file, found by its name. The file's first line is the question; the rest of its docstring says how it is

measured and what bounds it, and stands above the table. It defines

    KIND                     "kernel": a native call on buffers made before, the best of 20, percent of the peak's best of 20;
                             "module": what a user calls, medians and a ratio
    rows(options)            gives one row of the table after the other: a dict from column to text or number
"""
